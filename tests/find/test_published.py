"""The index that a load publishes with its lake: there, right, kept as long as its generation, and never in the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lakehouse.context import CONTEXT_FOLDER, DECLARATIONS_NAME
from lakehouse.find.building import IndexUpdate, build_index
from lakehouse.find.finder import Finder, open_index
from lakehouse.find.published import fetch_index, list_indexes
from lakehouse.find.things import IndexDamaged, Thing, ThingBatch
from lakehouse.storage import Lake
from tests.etl.conftest import AWKWARD, MakeSource, manifest_of, notes_of, run_etl, run_patched
from tests.etl.live_rows import assert_same_lakes, list_indexed, published

ENTITY = '[[entity]]\nkind="x"\ntable="movies_delta"\ncolumn="a"\nid="tconst"\n'
TITLES = frozenset({"title"})
RENAMED = {"title.basics": [row.replace('"Gilliam"', "Brazil") for row in AWKWARD["title.basics"]]}


def load(source: Path, lake: Path | str) -> subprocess.CompletedProcess[str]:
    done = run_etl("load", "--source", source, "--lake", lake, IMDB_KEEP_MINUTES="0", IMDB_KEEP_GENERATIONS="2")
    assert done.returncode == 0, done.stderr
    return done


def open_lake(lake: Path | str, state: Path | None = None) -> Finder:
    index = published(lake).find
    assert index is not None
    return open_index(fetch_index(Lake.parse(str(lake)), index, state or Path("/nowhere")))


def test_a_load_publishes_names_and_values(make_source: MakeSource, tmp_path: Path) -> None:
    load(make_source(), tmp_path / "lake")
    finder = open_lake(tmp_path / "lake")
    assert [(hit.id, hit.detail, hit.weight) for hit in finder.search("giliam", TITLES)] == [
        ("tt0000002", "movie 1975", 5)
    ]
    assert [(hit.id, hit.matched) for hit in finder.search("the hik", TITLES)][:1] == [("tt0000002", "The Hick")]
    assert [hit.label for hit in finder.search("stefen lave")][:1] == ['Stephen "Dr" Lave']
    assert [hit.id for hit in finder.search("\u0436\u0430\u043d\u043d\u0430")][:1] == ["nm10000003"]
    (genre,) = finder.search("comedy", limit=1)
    assert (genre.table, genre.id_column, genre.id, genre.is_list, genre.detail) == (
        "movies_delta", "genres", "Comedy", True, "1 row",
    )  # fmt: skip
    assert finder.search("x" * 150, TITLES) == []  # an episode without votes, of which there are millions
    index = published(tmp_path / "lake").find
    assert index is not None
    files = [path for path in (tmp_path / "lake" / index.path).rglob("*") if path.is_file()]
    assert (index.files, index.bytes) == (len(files), sum(path.stat().st_size for path in files))
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files)  # a server may be another user


def test_names_are_replaced_by_an_update_and_come_back_with_a_rollback(make_source: MakeSource, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    load(make_source(), lake)
    first = open_lake(lake)
    newer = make_source("newer", **{name.replace(".", "_"): rows for name, rows in RENAMED.items()})
    assert run_etl("update", "--source", newer, "--lake", lake).returncode == 0
    assert [hit.label for hit in open_lake(lake).search("brasil", TITLES)][:1] == ["Brazil"]
    assert [hit.label for hit in first.search("giliam", TITLES)] == [
        '"Gilliam"'
    ]  # who has the old one open goes on reading it
    load(newer, tmp_path / "fresh")
    assert list_indexed(lake) == list_indexed(tmp_path / "fresh")
    assert_same_lakes(lake, tmp_path / "fresh")

    assert run_etl("rollback", "--lake", lake).returncode == 0
    assert [hit.label for hit in open_lake(lake).search("giliam", TITLES)] == ['"Gilliam"']

    shutil.rmtree(lake / "_find")
    assert run_etl("rollback", "--lake", lake).returncode == 0
    assert published(lake).find is None
    assert run_etl("update", "--source", make_source("again"), "--lake", lake).returncode == 0
    assert [hit.label for hit in open_lake(lake).search("giliam", TITLES)] == ['"Gilliam"']


def test_indexes_are_removed_with_their_generations(make_source: MakeSource, tmp_path: Path) -> None:
    lake, source = tmp_path / "lake", make_source()
    for _ in range(3):
        done = run_etl("load", "--again", "--source", source, "--lake", lake, IMDB_KEEP_MINUTES="0",
                       IMDB_KEEP_GENERATIONS="2")  # fmt: skip
        assert done.returncode == 0, done.stderr
        (lake / "_find" / "99").mkdir()  # of a load that was killed before it published
    assert list_indexes(Lake.parse(str(lake))) == ["_find/2", "_find/3", "_find/99"]
    assert run_etl("maintain", "--lake", lake).returncode == 0
    assert list_indexes(Lake.parse(str(lake))) == ["_find/2", "_find/3"]


def test_a_load_that_is_killed_while_it_indexes_leaves_no_mess(make_source: MakeSource, tmp_path: Path) -> None:
    lake, source = tmp_path / "lake", make_source()
    load(source, lake)
    kill = "import os\npipeline.place_index = lambda *_: os.kill(os.getpid(), 9)"
    done = run_patched(kill, "--again", "--source", source, "--lake", lake)
    assert done.returncode == -signal.SIGKILL
    assert [hit.label for hit in open_lake(lake).search("giliam", TITLES)] == ['"Gilliam"']
    kill = "import os\npipeline.publish_manifest = lambda *_: os.kill(os.getpid(), 9)"
    done = run_patched(kill, "--again", "--source", source, "--lake", lake)
    assert done.returncode == -signal.SIGKILL
    assert run_etl("load", "--again", "--source", source, "--lake", lake).returncode == 0
    assert list_indexes(Lake.parse(str(lake))) == ["_find/1", "_find/2"]
    assert not (lake / "_work").exists()
    assert [hit.label for hit in open_lake(lake).search("giliam", TITLES)] == ['"Gilliam"']


@pytest.mark.parametrize(
    ("declarations", "said"),
    [
        ("[[entity]\n", "lake.toml of the lake's context is not TOML"),
        (f'{ENTITY}sql="SELEC"\n', ""),
        (f'{ENTITY}sql="SELECT * FROM csv.`/etc`"\n', "reads files"),
    ],
)
def test_declarations_that_do_not_work_become_a_note(
    declarations: str, said: str, make_source: MakeSource, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    (lake / CONTEXT_FOLDER).mkdir(parents=True)
    (lake / CONTEXT_FOLDER / DECLARATIONS_NAME).write_text(declarations)
    notes = [note for note in notes_of(load(make_source(), lake)) if note.startswith("No index of names was built")]
    assert len(notes) == 1
    assert said in " ".join(notes)
    assert manifest_of(lake)["find"] is None


def test_what_a_team_declares_is_what_is_found(make_source: MakeSource, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    (lake / CONTEXT_FOLDER).mkdir(parents=True)
    (lake / CONTEXT_FOLDER / DECLARATIONS_NAME).write_text(
        '[[entity]]\nkind = "job"\ntable = "principals_delta"\ncolumn = "job"\nid = "job"\n'
        'sql = "SELECT DISTINCT job AS id, job AS label FROM principals_delta"\n'
        '[[entity]]\nkind = "role"\ntable = "film_people"\ncolumn = "role"\nid = "role"\n'
        "sql = \"SELECT DISTINCT role AS id, concat('the ', role) AS label FROM film_people\"\n"
    )
    load(make_source(), lake)
    (hit,) = open_lake(lake).search("novels a wizard", kinds=frozenset({"job"}))
    assert (hit.kind, hit.id, hit.weight) == ("job", 'novels "A Wizard", "B" and "C"', 0)
    assert "writer" in [each.id for each in open_lake(lake).search("the writer", kinds=frozenset({"role"}))]


def test_an_index_in_object_storage_is_brought_here_once(bucket: str, make_source: MakeSource, tmp_path: Path) -> None:
    load(make_source(), bucket)
    state = tmp_path / "state"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: open_lake(bucket, state).search("giliam", TITLES), range(4)))
    assert [[hit.id for hit in hits] for hits in found] == [["tt0000002"]] * 4
    newer = make_source("newer", **{name.replace(".", "_"): rows for name, rows in RENAMED.items()})
    done = run_etl("update", "--source", newer, "--lake", bucket)
    assert done.returncode == 0, done.stderr
    assert [hit.label for hit in open_lake(bucket, state).search("brasil", TITLES)][:1] == ["Brazil"]
    index = published(bucket).find
    assert index is not None
    Lake.parse(bucket).remove_file(f"{index.path}/index.json")
    with pytest.raises(IndexDamaged, match="bytes, not"):
        fetch_index(Lake.parse(bucket), index, tmp_path / "other state")


def test_a_copy_is_kept_though_others_begin_to_make_one(bucket: str, make_source: MakeSource, tmp_path: Path) -> None:
    load(make_source(), bucket)
    lake, index, state = Lake.parse(bucket), published(bucket).find, tmp_path / "state"
    assert index is not None
    copies = fetch_index(lake, index, tmp_path / "probe").relative_to(tmp_path / "probe").parent
    for number in range(3):  # as threads leave them that are not done yet
        begun = state / copies / f".fetch-{number}"
        begun.mkdir(parents=True)
        os.utime(begun, (2**31, 2**31))
    assert (fetch_index(lake, index, state) / "index.json").is_file()


@pytest.fixture
def index(tmp_path: Path) -> Path:
    things = [
        Thing("title", "t", "name", f"id{number}", f"Name {number}", "id", weight=number) for number in range(2000)
    ]
    build_index(tmp_path / "index", things, missing=["Some are missing."])
    return tmp_path / "index"


SEARCH_ALL = """
import sys
from pathlib import Path
from lakehouse.find.finder import open_index
from lakehouse.find.things import IndexDamaged
for folder in sys.argv[1:]:
    try:
        finder = open_index(Path(folder))
        for text in ("name 7", "nam 1999", "nothing"):
            finder.search(text)
        print("opened")
    except IndexDamaged:
        print("damaged")
"""


def test_a_damaged_index_is_said_to_be_one_and_ends_no_program(index: Path, tmp_path: Path) -> None:
    folders = []
    for suffix in (".json", ".term", ".idx", ".store", ".fast", ".fieldnorm"):
        for damage in ("emptied", "shortened", "overwritten", "removed", "a folder"):
            folder = Path(shutil.copytree(index, tmp_path / f"{damage}{suffix}"))
            folders.append(str(folder))
            for path in [path for path in folder.rglob(f"*{suffix}") if path.is_file()]:
                content = path.read_bytes()
                if damage in {"removed", "a folder"}:
                    path.unlink()
                    if damage == "a folder":
                        path.mkdir()
                else:
                    parts = {"emptied": b"", "shortened": content[: len(content) // 2]}
                    path.write_bytes(parts.get(damage, b"\xff" * len(content)))
    done = subprocess.run([sys.executable, "-c", SEARCH_ALL, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])
    said = dict(zip(folders, done.stdout.split(), strict=True))
    assert all(word == "damaged" for folder, word in said.items() if "overwritten" not in folder), said


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"partial": 7, "floors": []}', b"\xff", None])
def test_a_folder_that_is_no_index_is_refused(index: Path, content: bytes | None) -> None:
    (index / "index.json").unlink()
    if content is not None:
        (index / "index.json").write_bytes(content)
    with pytest.raises(IndexDamaged, match="Load the lake again"):
        open_index(index)
    with pytest.raises(IndexDamaged), IndexUpdate(index, index.parent / "next"):
        pass


def test_an_index_of_another_version_is_refused(index: Path) -> None:
    shelf = index / "things" / "shelf.json"
    shelf.write_text(json.dumps(json.loads(shelf.read_text()) | {"format": 99}))
    with pytest.raises(IndexDamaged, match="format 99"):
        open_index(index)


def test_an_index_is_not_written_to_by_who_opens_it(index: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in index.rglob("*")}
    assert open_index(index).partial == ("Some are missing.",)
    assert {path: path.stat().st_mtime_ns for path in index.rglob("*")} == before


def test_an_update_that_is_given_up_leaves_the_old_index_and_no_new_one(index: Path) -> None:
    def give_up() -> None:
        with IndexUpdate(index, index.parent / "next") as update:
            update.replace("title", ["id1"], [])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        give_up()
    assert not (index.parent / "next").exists()
    assert [hit.id for hit in open_index(index).search("name 1", limit=1)] == ["id1"]


def test_an_update_shares_the_files_that_do_not_change(index: Path) -> None:
    with IndexUpdate(index, index.parent / "next") as update:
        update.replace("title", ["id1"], [Thing("title", "t", "name", "id1", "Another", "id")])
        update.finish([])
    shared = {path.name for path in (index / "things").glob("*.store") if path.stat().st_nlink == 2}
    assert shared
    assert [hit.id for hit in open_index(index.parent / "next").search("anothr", limit=1)] == ["id1"]
    assert open_index(index.parent / "next").has_label("t", "name", "Name 1") is None  # the index is partial
    assert open_index(index).has_label("t", "name", "Name 1") is True


def test_a_batch_is_indexed_as_its_things_are(tmp_path: Path) -> None:
    import pyarrow as pa

    rows = {
        "id": ["a", "b", "c", "d"],
        "label": ["L\u00e9on", "Ocean's 11", None, "Plain"],
        "others": pa.array([["The Professional", "\u30ec\u30aa\u30f3"], [], None, None], pa.list_(pa.string())),
        "detail": ["movie", None, "y", ""],
        "weight": [1.0, None, 2.5, 7.0],
    }
    build_index(tmp_path / "index", [ThingBatch("k", "t", "c", "i", pa.record_batch(rows))])
    finder = open_index(tmp_path / "index")
    assert [(hit.id, hit.detail, hit.weight) for hit in finder.search("leon")] == [("a", "movie", 1.0)]
    assert [(hit.id, hit.matched) for hit in finder.search("the profesional")] == [("a", "The Professional")]
    assert [hit.id for hit in finder.search("\u30ec\u30aa\u30f3")] == ["a"]
    assert [hit.id for hit in finder.search("oceans eleven")] == ["b"]
    assert os.listdir(tmp_path) == ["index"]
