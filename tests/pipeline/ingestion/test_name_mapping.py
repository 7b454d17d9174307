from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.errors import BadMapping, SchemaMismatch, TastefeedError
from pipeline.ingestion import ImportRequest, NameMapping, convert, import_files, read_mapping

NOW = datetime(2017, 3, 1, tzinfo=UTC)
RETAILROCKET = read_mapping(
    ["visitorid=user_id", "itemid=item_id", "event=action"], ["view=click", "addtocart=save", "transaction=save"]
)
ROWS = "timestamp,visitorid,event,itemid,transactionid\n1433221332117,1,view,10,\n1433224214164,2, addtocart ,11,\n"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    (tmp_path / "e.csv").write_text(f"{ROWS}1433221955914,3,transaction,12,4000\n")
    return tmp_path / "e.csv"


def refusal(mapping: NameMapping, **files: object) -> str:
    with pytest.raises(TastefeedError) as error:
        import_files(ImportRequest(**files, mapping=mapping), lake_root="nowhere", landed_at=NOW)  # type: ignore[arg-type]
    return str(error.value)


def test_columns_and_actions_get_our_names(events: Path) -> None:
    (read,) = convert(ImportRequest("files", events=[events], mapping=RETAILROCKET)).tables
    assert read.frame.select("user_id", "item_id", "action").rows() == [
        ("1", "10", "click"),
        ("2", "11", "save"),
        ("3", "12", "save"),
    ]
    assert read.frame["timestamp"].dt.year().to_list() == [2015] * 3
    assert read.warnings == (f"{events}: unknown columns left out: transactionid",)
    assert read.used == {
        "user_id": "visitorid",
        "item_id": "itemid",
        "action": "event",
        "timestamp": "timestamp",
    }


def test_codes_of_actions_are_mapped(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('{"user_id": 1, "item_id": 2, "action": 4, "timestamp": 1433221332}\n')
    (read,) = convert(
        ImportRequest("files", events=[tmp_path / "e.jsonl"], mapping=read_mapping(actions=["4=save"]))
    ).tables
    assert read.frame["action"].to_list() == ["save"]


def test_two_columns_may_swap_their_names(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("item_id,title\nOne,i1\n")
    mapping = read_mapping(["title=item_id", "item_id=title"])
    assert convert(ImportRequest("files", items=tmp_path / "i.csv", mapping=mapping)).tables[0].frame.row(0)[:2] == (
        "i1",
        "One",
    )


def test_one_name_may_mean_something_else_in_each_table(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("id,name\ni1,One\n")
    (tmp_path / "u.csv").write_text("id,name\nu1,Ann\n")
    mapping = read_mapping(["id=item_id", "id=user_id", "name=title"])
    items, users = convert(
        ImportRequest("files", items=tmp_path / "i.csv", users=tmp_path / "u.csv", mapping=mapping)
    ).tables
    assert (items.frame.row(0)[:2], users.frame["user_id"][0]) == (("i1", "One"), "u1")
    assert users.warnings == (f"{tmp_path}/u.csv: unknown columns left out: name",)


def test_opt_outs_are_mapped_as_well(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text("kind;id;flag;opted_out;effective_at\nuser;42.0;erasure;true;2017-01-01\n")
    mapping = read_mapping(["kind=subject_type", "id=subject_id", "nothing=title"])
    assert refusal(mapping, opt_outs=tmp_path / "o.csv") == (
        "no file has the column nothing; correct the mapping, or leave that part out"
    )


def test_a_file_and_the_command_line_together(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text('[columns]\nvisitorid = "user_id"\n"item id" = "item_id"\n[actions]\nview = "click"\n')
    assert read_mapping(["event=action", "visitorid=user_id"], ["a=b=save"], path) == NameMapping(
        (("visitorid", "user_id"), ("item id", "item_id"), ("event", "action")), (("view", "click"), ("a=b", "save"))
    )


@pytest.mark.parametrize(
    ("columns", "actions", "message"),
    [
        (["a=user"], [], "a=user: unknown column 'user'; use one of event_id, user_id, item_id"),
        ([], ["view=clicked"], "view=clicked: unknown action 'clicked'; use one of impression, click, save, hide"),
        (["visitorid"], [], "--map 'visitorid': write theirs=ours, as in --map visitorid=user_id"),
        (["=user_id"], [], "write theirs=ours"),
        ([], ["view=click", "view=save"], "the action view is mapped twice; keep one of the two"),
    ],
)
def test_a_pair_that_means_nothing(columns: list[str], actions: list[str], message: str) -> None:
    with pytest.raises(BadMapping) as error:
        read_mapping(columns, actions)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("columns = 1", "want the tables [columns] and [actions]"),
        ("[column]\na = 'b'", "want the tables [columns] and [actions]"),
        ("[columns]\na = 1", "a: want text, such as visitorid"),
        ("a = [", "cannot be read as TOML"),
        ("a = " + "[" * 100_000, "cannot be read as TOML"),
        ("caf\xe9", "cannot be read as TOML"),
        (None, "cannot be read as TOML"),
    ],
)
def test_a_file_that_is_no_mapping(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "m.toml").write_bytes(content.encode("latin-1"))
    with pytest.raises(BadMapping) as error:
        read_mapping(file=tmp_path / "m.toml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_names_that_no_file_has(events: Path) -> None:
    columns = ["visitorid=user_id", "itemid=item_id", "event=action"]
    assert refusal(read_mapping([*columns, "person=creator_id"]), events=[events]).startswith(
        "no file has the column person;"
    )
    unseen = read_mapping(columns, ["view=click", "buy=save", "gone=hide"])
    assert refusal(unseen, events=[events]).startswith("no file has the actions buy, gone;")


def test_two_columns_onto_one(events: Path, tmp_path: Path) -> None:
    both = read_mapping(["visitorid=user_id", "transactionid=user_id", "itemid=item_id", "event=action"])
    assert refusal(both, events=[events]) == (
        f"{events}: visitorid and transactionid would both be user_id; map one of them, or drop a column"
    )
    (tmp_path / "u.csv").write_text("user_id,visitorid\na,b\n")
    with pytest.raises(SchemaMismatch, match="user_id and visitorid would both be user_id"):
        convert(ImportRequest("files", users=tmp_path / "u.csv", mapping=read_mapping(["visitorid=user_id"])))


def test_one_column_onto_two_of_one_table(events: Path) -> None:
    twice = read_mapping(["visitorid=user_id", "visitorid=session_id"])
    assert refusal(twice, events=[events]) == "the column visitorid is mapped twice; keep one of the two"


def test_a_known_data_set_needs_no_mapping(events: Path) -> None:
    with pytest.raises(BadMapping, match="the columns and actions of movielens are known; leave the mapping out"):
        convert(ImportRequest("movielens", events=[events], mapping=RETAILROCKET))
