"""The star's filmography and the films of 2020, small enough to check answers by eye."""

from __future__ import annotations

from dataclasses import dataclass

from etl.sample.odd import SAMPLE_STAR, Credit, Person, Title


@dataclass(frozen=True)
class _Film:
    title: str
    year: int
    genres: str
    runtime: int
    rating: str
    votes: int
    director: str
    part: str  # the star's; empty where she is not in the film
    partner: str


_FILMS = (
    _Film("A Map of Warm Rain", 2004, "Drama", 98, "6.9", 4_180, "Orla Thistlecombe", "Ines", "Casimir Dorne"),
    _Film(
        "The Salt Accountant",
        2006,
        "Crime,Drama",
        107,
        "7.2",
        12_940,
        "Orla Thistlecombe",
        "Vera Lund",
        "Teodor Ulverin",
    ),
    _Film(
        "Eleven Doors to Ostrabria",
        2008,
        "Adventure,Fantasy",
        131,
        "7.6",
        88_300,
        "Bram Ankersted",
        "The Doorkeeper",
        "Casimir Dorne",
    ),
    _Film(
        "Nocturne for a Ferryman",
        2009,
        "Drama,Music",
        112,
        "8.1",
        164_200,
        "Kaveh Sarrafin",
        "Mirela",
        "Juno Pemberlow",
    ),
    _Film("Marrowgate", 2010, "Horror,Mystery", 94, "5.8", 31_450, "Delphine Vaucoux", "Dr. Halle", "Rafe Corvane"),
    _Film(
        "The Understudy's Revenge",
        2011,
        "Comedy,Thriller",
        103,
        "6.7",
        27_800,
        "Bram Ankersted",
        "Pola",
        "Juno Pemberlow",
    ),
    _Film("Silver Mine No. 9", 2012, "Western", 119, "7.0", 41_020, "Ignatius Quell", "Widow Tamsin", "Rafe Corvane"),
    _Film(
        "Letters to an Empty Island",
        2013,
        "Drama,Romance",
        122,
        "8.4",
        1_204_500,
        "Kaveh Sarrafin",
        "Livia",
        "Casimir Dorne",
    ),
    _Film(
        "The Borrowed Planet",
        2014,
        "Adventure,Sci-Fi",
        148,
        "7.9",
        1_871_000,
        "Mitsuko Aranuma",
        "Commander Ives",
        "Teodor Ulverin",
    ),
    _Film(
        "Paper Lions",
        2015,
        "Biography,Drama,Sport",
        116,
        "7.3",
        76_900,
        "Sunniva Bergqvist",
        "Coach Marit",
        "Juno Pemberlow",
    ),
    _Film("Quiet, the Bees", 2016, "Drama,Horror", 97, "6.5", 22_310, "Delphine Vaucoux", "Anneke", "Rafe Corvane"),
    _Film(
        "The Borrowed Moon",
        2017,
        "Adventure,Sci-Fi",
        151,
        "7.4",
        1_022_700,
        "Mitsuko Aranuma",
        "Commander Ives",
        "Teodor Ulverin",
    ),
    _Film("Forty Kettles", 2018, "Comedy", 91, "6.2", 9_870, "Paolo Luminardi", "Dora", "Casimir Dorne"),
    _Film(
        "What the Tide Owes",
        2019,
        "Crime,Drama,Mystery",
        128,
        "8.0",
        143_600,
        "Ignatius Quell",
        "Inspector Roe",
        "Juno Pemberlow",
    ),
    _Film(
        "The Cartographer's Widow",
        2020,
        "Drama,History",
        134,
        "8.6",
        212_300,
        "Kaveh Sarrafin",
        "Aurelia",
        "Teodor Ulverin",
    ),
    _Film(
        "Hotel Meridian", 2020, "Comedy,Mystery", 105, "7.1", 58_440, "Paolo Luminardi", "Madame Oriel", "Rafe Corvane"
    ),
    _Film(
        "Ash Choir", 2020, "Drama,Music,War", 121, "7.8", 97_150, "Sunniva Bergqvist", "Sister Agnes", "Casimir Dorne"
    ),
    _Film("The Last Apiary", 2023, "Drama,Sci-Fi", 117, "7.5", 64_020, "Henrike Falkenroth", "Greta", "Juno Pemberlow"),
    _Film("Glass Harvest", 2020, "Thriller", 109, "8.2", 154_800, "Delphine Vaucoux", "", "Juno Pemberlow"),
    _Film("The Ninth Orchard", 2020, "Family,Fantasy", 99, "7.0", 33_700, "Orla Thistlecombe", "", "Teodor Ulverin"),
    _Film("Sundays in Kolvaport", 2020, "Comedy,Romance", 96, "6.4", 18_220, "Paolo Luminardi", "", "Rafe Corvane"),
    _Film("Iron Feathers", 2020, "Action,Adventure", 137, "6.8", 241_900, "Mitsuko Aranuma", "", "Rafe Corvane"),
    _Film("The Signalman's Oath", 2020, "Crime,Drama", 111, "7.9", 71_500, "Ignatius Quell", "", "Casimir Dorne"),
    _Film("Night Bakery", 2020, "Documentary", 84, "8.3", 6_140, "Sunniva Bergqvist", "", "Juno Pemberlow"),
    _Film("Under the Copper Hill", 2020, "Horror", 92, "5.2", 11_060, "Bram Ankersted", "", "Teodor Ulverin"),
)

SHOWCASE_PEOPLE = (
    Person(SAMPLE_STAR, 1979, None, "actress,producer"),
    Person("Casimir Dorne", 1971, None, "actor"),
    Person("Teodor Ulverin", 1965, 2024, "actor,writer"),
    Person("Juno Pemberlow", 1984, None, "actress"),
    Person("Rafe Corvane", 1976, None, "actor,producer"),
    *(
        Person(name, 1950 + 3 * n, None, "director,writer")
        for n, name in enumerate(sorted({film.director for film in _FILMS}))
    ),
)

_WOMEN = {SAMPLE_STAR, "Juno Pemberlow"}
_PARTNER_PARTS = {
    "Casimir Dorne": "Anton",
    "Teodor Ulverin": "Old Halloran",
    "Juno Pemberlow": "Fenna",
    "Rafe Corvane": "Dill",
}


def _to_title(film: _Film) -> Title:
    lead = [Credit(SAMPLE_STAR, "actress", (film.part,))] if film.part else []
    category = "self" if "Documentary" in film.genres else "actress" if film.partner in _WOMEN else "actor"
    part = "Self" if category == "self" else _PARTNER_PARTS[film.partner]
    cast = [*lead, Credit(film.partner, category, (part,))]
    crew = [Credit(film.director, "director"), Credit(film.director, "writer", job="written by")]
    return Title(
        "movie",
        film.title,
        film.year,
        film.genres,
        film.runtime,
        rating=(film.rating, film.votes),
        credits=(*cast, *crew),
    )


SHOWCASE_TITLES = tuple(_to_title(film) for film in _FILMS)
