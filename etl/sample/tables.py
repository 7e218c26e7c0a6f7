"""Shares and ranges of the sample, in percent unless noted."""

from __future__ import annotations

import numpy as np

# title type: runtime at least, spread (minutes), known · rated · smallest number of votes · has other names
# order: world.TITLE_TYPES
_OF_TYPES = (
    (20, 45, 45, 48, 9, 45),  # tvSeries
    (40, 60, 45, 42, 9, 45),  # tvMiniSeries
    (18, 48, 40, 12, 5, 12),  # tvEpisode
    (2, 35, 72, 17, 5, 30),  # short
    (62, 95, 68, 52, 16, 75),  # movie
    (30, 90, 62, 18, 5, 20),  # video
    (50, 75, 68, 38, 6, 50),  # tvMovie
    (40, 90, 50, 25, 5, 25),  # tvSpecial
    (0, 1, 0, 40, 6, 40),  # videoGame
    (4, 26, 70, 22, 5, 25),  # tvShort
)
RUNTIME_FROM, RUNTIME_SPREAD, RUNTIME_KNOWN, RATED, VOTES_FROM, HAS_AKAS = np.array(_OF_TYPES, dtype=np.int64).T

# genre: weight in films and shorts, weight in series
_GENRES = {
    "Action": (6, 4),
    "Adult": (0, 0),
    "Adventure": (5, 4),
    "Animation": (5, 8),
    "Biography": (3, 1),
    "Comedy": (18, 18),
    "Crime": (6, 6),
    "Documentary": (14, 10),
    "Drama": (26, 22),
    "Family": (4, 7),
    "Fantasy": (4, 2),
    "Film-Noir": (1, 0),
    "Game-Show": (0, 5),
    "History": (3, 2),
    "Horror": (7, 1),
    "Music": (4, 4),
    "Musical": (2, 1),
    "Mystery": (4, 3),
    "News": (1, 8),
    "Reality-TV": (1, 9),
    "Romance": (6, 9),
    "Sci-Fi": (4, 2),
    "Short": (0, 0),
    "Sport": (2, 5),
    "Talk-Show": (1, 12),
    "Thriller": (7, 2),
    "War": (2, 1),
    "Western": (2, 1),
}
GENRES = tuple(_GENRES)
SCREEN_GENRES, SERIES_GENRES = np.array(list(_GENRES.values()), dtype=np.int64).T
ADULT, SHORT_FILM = GENRES.index("Adult"), GENRES.index("Short")
IS_NONFICTION = np.array([name in {"Documentary", "Game-Show", "News", "Reality-TV", "Talk-Show"} for name in GENRES])
"""Of titles whose first genre is one of these, people appear as themselves."""

GENRE_LISTS = tuple(
    ",".join(sorted({first, second, third})) for first in GENRES for second in GENRES for third in GENRES
)
"""Text of any three genres, equal ones allowed, at index (first * 28 + second) * 28 + third."""

CATEGORIES = ("actor", "actress", "self", "archive_footage", "archive_sound")
"""Of the cast and of archive places; crew categories are the names of their pools."""

PROFESSIONS: dict[str, tuple[str, ...]] = {
    "actor": ("actor", "actor", "actor,producer", "actor,writer", "actor,director,writer", "actor,soundtrack"),
    "actress": ("actress", "actress", "actress,producer", "actress,soundtrack", "actress,writer,director"),
    "director": ("director", "director,writer", "director,writer,producer", "director,producer,assistant_director"),
    "writer": ("writer", "writer", "writer,producer", "writer,miscellaneous", "writer,director"),
    "producer": ("producer", "producer,production_manager", "producer,writer", "producer,miscellaneous"),
    "composer": ("composer", "composer,music_department", "composer,music_department,soundtrack"),
    "cinematographer": ("cinematographer", "cinematographer,camera_department", "camera_department,cinematographer"),
    "editor": ("editor", "editor,editorial_department", "editor,director"),
    "production_designer": ("production_designer", "production_designer,art_department", "art_director,art_department"),
    "casting_director": ("casting_director", "casting_director,casting_department"),
}

AKA_REGIONS = ("US", "DE", "FR", "JP", "GB", "ES", "RU", "BR", "IN", "PL", "XWW", "IT", "SE", "TR", "XEU")
AKA_LANGUAGES = (None, None, None, "ja", None, None, None, None, "hi", None, "en", None, None, "tr", "en")
AKA_CULTURES = ("US", "DE", "FR", "JP", "GB", "ES", "RU", "BR", "IN", "PL", "US", "IT", "SE", "TR", "GB")
"""Culture in whose language the title is written there (`words.CULTURES`)."""

AKA_NOTES: tuple[tuple[str | None, str | None], ...] = (
    *((("imdbDisplay", None),) * 40),
    *(((None, None),) * 8),
    *((("working", None),) * 4),
    *((("alternative", None),) * 3),
    *(((None, "literal title"), (None, "reissue title"), ("tv", None), ("video", "dubbed version"))),
    (None, "reissue title\x02recut version"),
    ("imdbDisplay\x02tv", None),
)
"""Pairs of `types` and `attributes`; the byte 0x02 separates several values in one field."""
