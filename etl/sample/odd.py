"""Handwritten titles and people at the head of every sample.

The awkward ones come first: each imitates a row of IMDb's files that has broken some reader. Samples of 500 titles and
more also have a filmography with known answers: the star's films with several directors, and rated films of 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

SAMPLE_STAR = "Isaura Velloric"
"""An invented actress who leads eighteen films of nine directors in every sample of at least 500 titles."""

SHOWCASE_FROM = 500
"""Samples with this many titles or more have the star's films."""


@dataclass(frozen=True)
class Person:
    """A row of name.basics, and the name by which titles refer to it."""

    name: str
    birth: int | None = None
    death: int | None = None
    professions: str | None = None


@dataclass(frozen=True)
class Credit:
    """A row of title.principals."""

    name: str
    category: str
    characters: tuple[str, ...] = ()
    job: str | None = None


@dataclass(frozen=True)
class Aka:
    """A row of title.akas."""

    title: str
    region: str | None = None
    language: str | None = None
    types: str | None = None
    attributes: str | None = None


@dataclass(frozen=True)
class Title:
    """A row of title.basics with what other files say of it. `episode_of` is the primaryTitle of its series."""

    kind: str
    primary: str
    year: int | None = None
    genres: str | None = None
    runtime: int | None = None
    original: str = ""
    end: int | None = None
    adult: bool = False
    rating: tuple[str, int] | None = None
    credits: tuple[Credit, ...] = ()
    akas: tuple[Aka, ...] = ()
    episode_of: str = ""
    season: int | None = None
    number: int | None = None


ODD_PEOPLE = (
    Person('Rupert "Doc" Thornwick', None, None, "producer,actor"),  # a quoted nickname in mid-name
    Person("'El Farolero'", None, None, "actor,miscellaneous"),  # begins and ends with apostrophes
    Person("Siobhan O'Brackmere", 1903, None, "actress"),  # an apostrophe inside
    Person("Echo 12:34", None, None, "actor,writer,composer"),  # colon and digits
    Person("Zephira", 1908, None, "music_artist,actress,composer"),  # one word: no first and last name
    Person("Philokrates of Nembra", 531, 462, "writer"),  # years BC are positive: died "before" the birth
    Person("Ambrose Quillhurst", 1564, 1611, "writer,miscellaneous,music_department"),  # before any date check
    Person("Dietmar Nebelkamp", None, 2023, "camera_department,visual_effects"),  # death known, birth not
    Person("Perpetua Nobody"),  # everything but the name is null
    Person("Øyvind Fagerås Björnö", 1879),  # no profession; letters outside ASCII
    Person("Melchior Vane", 1861, 1938, "director,cinematographer,producer"),
    Person("天沢 冬美", None, None, "actress"),
    Person("Лидия Снежина", 1901, 1984, "director,writer"),
    Person("سلمى القنديلي", 1970, None, "actress"),
    Person("आधिरा मेघनाथ", 1983, None, "director"),
)

_LONG_TITLE = (
    "X - the patience of altering the direction of a weathercock at a given hour and altitude. The inverse of "
    "stubbornness. The sum of all gusts, counted from the north, that a brass bird on a chapel roof can bear before "
    "it turns, sings, rusts or leaves the parish altogether, as told by the bellringer's second apprentice in one "
    "breath and without any punctuation that could be avoided"
)
_BEHIND = "Various and Other Weathercocks"

ODD_TITLES = (
    Title("tvSeries", "Velmora Nights", 1991, None, 45, end=1998, rating=("7.4", 1840)),  # ended, genres null
    # a lone leading quote: a reader that believes in quoting swallows tabs and lines after it
    Title(
        "tvEpisode",
        '"Waltzing in the Deep Fryer',
        1994,
        "Reality-TV",
        credits=(Credit("Zephira", "self", ("Self - Host",)),),
        episode_of="Velmora Nights",
    ),  # season and episode are null
    Title("movie", '"Orsolo"', 1975, "Crime,Drama", 137, rating=("6.1", 212)),  # the quotes belong to the title
    Title(
        "tvEpisode",
        '"Lantern Hollow" Seasons 1 & 2 in Under 4 Minutes',  # a closed quoted part, and it goes on
        1995,
        "News,Short",
        episode_of="Velmora Nights",
        season=1994,  # a year as the season
        number=89,
    ),
    Title("tvEpisode", _LONG_TITLE, 1992, "Biography,Comedy,Drama", episode_of="Velmora Nights", season=1, number=0),
    Title("movie", "Wayfarrow"),  # year, runtime and genres all null
    Title("movie", "Captain Meridian: Beyond the Glass Sea", 2027, "Action,Adventure,Animation"),  # in the future
    Title("movie", "True", 2021, "Thriller", 92, rating=("5.9", 431)),  # not a boolean
    Title("movie", "12.10", 1919, "Crime,Mystery,Thriller", 50, rating=("6.0", 38)),  # not a decimal
    Title("movie", "99", 1918, "Crime,Drama"),  # not an integer
    Title("movie", "Who the #$&% Is Barnaby Plinth?", 2006, "Documentary", 74, rating=("7.0", 655)),
    Title("short", "The '?' Balloonist", 1906, "Comedy,Fantasy,Sci-Fi", 3, rating=("6.2", 1190)),
    Title(
        "short",
        "The Clockmaker's Dream; or, The Woman in the Comet",
        1898,
        "Comedy,Fantasy,Horror",
        3,
        original="La comète à deux mètres",
        rating=("7.3", 3120),
        # one person four times: title and person together are no key
        credits=(
            Credit("Philokrates of Nembra", "writer", job='play "The Clouded Comet"'),
            *(Credit("Melchior Vane", category) for category in ("director", "writer", "cinematographer")),
            Credit("Melchior Vane", "producer", job="producer"),
        ),
        akas=(
            Aka("La comète à deux mètres", types="original"),
            Aka("The Clockmaker's Dream", "US", None, None, "reissue title\x02recut version"),
            Aka("時計職人の夢", "JP", "ja", "imdbDisplay"),
            Aka("The Comet Woman", "XEU", "en", "imdbDisplay"),  # not a country of ISO 3166
            Aka("Сон часовщика", "RU", None, "imdbDisplay\x02tv"),
        ),
    ),
    Title(
        "movie",
        "Q",  # one letter
        1931,
        "Crime,Mystery,Thriller",
        99,
        original="Q - Eine Straße sucht ihren Müller",
        rating=("8.0", 14210),
        credits=(
            Credit("Siobhan O'Brackmere", "actress", ('Nell (segment "The Deaf Waiter")',)),
            Credit('Rupert "Doc" Thornwick', "actor", ('Ned (segment "Hush, Hush")',)),
            Credit("'El Farolero'", "actor", ("The O'Dowry Family: The Duke", "The Beadle", "The Curate")),
            Credit("Echo 12:34", "actor", ("Man holding a goose, seated on the left",)),
            Credit("天沢 冬美", "actress", ("Nurse Plinth [Hoshiko]",)),
            Credit("Zephira", "archive_footage", ("Self - Empress of Velmora",)),
            Credit("Лидия Снежина", "director"),
            Credit(
                "Ambrose Quillhurst",
                "writer",
                job='novels "The Wooden Baker of Oon", "The Borrowed Land of Oon", "Jack Dough and the Seraph" and '
                '"Ozzo of Oon"',
            ),
            Credit("Øyvind Fagerås Björnö", "writer", job='story "Aschenputte"'),
            Credit("Echo 12:34", "composer"),
            Credit(
                'Rupert "Doc" Thornwick',
                "producer",
                job="Weathercock television sequence based on figures created by, appearing in Vane and Inspector Vane "
                "magazines",
            ),
        ),
    ),
    Title("movie", "The Perils of Hepzibah", 1914, "Action", 1431),  # a serial of 119 chapters: long, and right
    Title("short", "Le chat et ses ombrelles", 1892, "Animation,Short", 5, rating=("6.4", 301)),
    Title("tvShort", "Much Ado About Buttons", 1937, "Comedy,Romance,Short", 10),
    Title("movie", "Behind the Beige Curtain", 1972, "Adult,Drama", 72, adult=True, rating=("5.1", 340)),
    Title("tvEpisode", "Episode #1.1", 2027, "Drama", episode_of="Velmora Nights", season=1, number=1),
    Title("video", _BEHIND, 2012, "Documentary", rating=("10.0", 13)),  # the highest rating there is
    Title("movie", "The Tinker's Boy", 1921, "Comedy,Drama,Family", 68, rating=("7.8", 10530)),  # three of one name
    Title("movie", "The Tinker's Boy", 1984, "Action,Drama,Sport", 126, rating=("7.1", 22600)),
    Title("short", "The Tinker's Boy", 2020, "Drama,Short", 11, rating=("6.6", 95)),
    Title(
        "movie",
        "The Fox Letter",
        2011,
        "Drama",
        101,
        original="狐の手紙",
        credits=(Credit("天沢 冬美", "actress", ("葵",)), Credit("आधिरा मेघनाथ", "director")),
        akas=(Aka("狐の手紙", types="original"), Aka("Письмо лисы", "RU", None, "imdbDisplay")),
    ),
    Title(
        "movie",
        "فانوس المدينة",
        1999,
        "Romance",
        88,
        credits=(Credit("سلمى القنديلي", "actress", ("ياسمين",)), Credit("Perpetua Nobody", "director")),
    ),
    Title("movie", "Зимний колокол", 1968, "War", 143, credits=(Credit("Лидия Снежина", "writer", job="scenario"),)),
    Title("movie", "काग़ज़ का शहर", 2003, "Musical", 156, credits=(Credit("आधिरा मेघनाथ", "director"),)),
)

ABSENT_PERSON = "Nobody Listed"
"""Credited in the title that is missing from title.basics, and missing from name.basics."""
