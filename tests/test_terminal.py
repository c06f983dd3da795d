import io

from trunkline.errors import DataError
from trunkline.terminal import Terminal, error_lines, table, width


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_shows_rate_and_rows_on_a_terminal() -> None:
    screen = Tty()
    shown = Terminal(screen)
    for done in (256, 512, 1000):
        shown.step("encode", done, 1000)
    shown.station("learn", "fused, 3 tried")
    assert "rows/s" in screen.getvalue()
    assert "1000/1000" in screen.getvalue()
    assert "learn" in screen.getvalue().splitlines()[-1]


def test_without_a_terminal_only_stations_are_printed() -> None:
    log = io.StringIO()
    shown = Terminal(log)
    shown.step("encode", 1, 10)
    shown.station("data", "10 rows, no problems")
    assert log.getvalue() == "✓ data     10 rows, no problems\n"


def test_chinese_columns_stand_under_each_other() -> None:
    lines = table(("产品", "n"), [("情感", "1"), ("support", "22")], right=(1,)).splitlines()
    assert [width(line) for line in lines] == [11, 11, 11]


def test_an_error_takes_at_most_four_lines() -> None:
    error = DataError("no", where="a.csv", found="1", wanted="2", hint="look")
    assert len(error_lines(error, io.StringIO()).splitlines()) == 4
