from trunkline import errors
from trunkline.errors import DataError, GateFailed, MissingExtra, TrunklineError, nearest


def test_message_has_at_most_four_lines_in_a_fixed_order() -> None:
    error = DataError(
        "column 'txt' is missing",
        where="train.csv, line 1",
        found="text, label",
        wanted="'txt'",
        hint="did you mean 'text'?",
    )
    assert str(error).splitlines() == [
        "column 'txt' is missing",
        "  where: train.csv, line 1",
        "  found text, label, wanted 'txt'",
        "  try: did you mean 'text'?",
    ]


def test_empty_parts_are_left_out() -> None:
    assert str(TrunklineError("it broke")) == "it broke"
    assert TrunklineError("it broke").as_dict() == {"error": "TrunklineError", "what": "it broke"}


def test_exit_codes() -> None:
    assert GateFailed("no").exit_code == 3
    assert DataError("no").exit_code == 2


def test_missing_extra_says_what_to_install() -> None:
    assert "pip install 'trunkline[heads]'" in str(MissingExtra("scikit-learn", "heads"))


def test_the_tree_drawn_on_top_of_the_file_is_complete() -> None:
    subclasses = {c.__name__ for c in TrunklineError.__subclasses__() if c.__module__ == errors.__name__}
    drawn = {line.split()[1] for line in (errors.__doc__ or "").splitlines() if line[:1] in ("├", "└")}
    assert drawn == subclasses


def test_nearest() -> None:
    assert nearest("txt", ["text", "label"]) == "did you mean 'text'?"
    assert nearest("zzz", ["text", "label"]) == "known: label, text"
    assert nearest("zzz", []) == "none are known"


def test_the_nearest_name_whatever_its_case() -> None:
    assert nearest("a", ["A", "other"]) == "did you mean 'A'?"
    assert nearest("Texts", ["text", "TEXT2"]) == "did you mean 'text'?"
