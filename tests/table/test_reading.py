"""Files of tables as people have them: delimiters, quotes, gaps, decimal commas, encodings; errors by row."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpkern._table import reading
from bpkern._table.csv_columns import GAPS
from bpkern._table.frames import Coded
from bpkern._table.reading import Format, described, kind_of, read_table


@pytest.fixture
def read(tmp_path):
    def reader(text, how=None, kinds=None, encoding="utf-8", name="t.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return read_table(str(path), how, kinds)

    return reader


def plain(table):
    """The columns as lists, gaps as None."""
    found = {}
    for name, column in table.columns.items():
        if isinstance(column, Coded):
            found[name] = [None if code < 0 else column.categories[code] for code in column.codes]
        else:
            found[name] = [None if np.isnan(value) else value for value in column]
    return found


SAME = {"a b": [1.5, None, -2000.0], "text": ['say "hi"', "x;y", None], "n": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    "text",
    [
        'a b,text,n\n1.5,"say ""hi""",1\n,x;y,2\n-2e3,NA,3\n',
        'a b;text;n\r\n1,5;"say ""hi""";1\r\n?;"x;y";2\r\n-2.000;;3\r\n',
        '\ufeffa b\ttext\tn\n1.5\t"say ""hi"""\t1\nnull\tx;y\t2\n-2000\tNaN\t3\n',
        'a b|text|n\n1,5|"say ""hi"""|1\n|x;y|2\n\n-2.000,0|null|3',
        'a b, text, n\n 1.5, "say ""hi""", 1 \n NA , x;y , 2\n -2000,, 3\n',
        '"a b","text","n"\n"1,5","say ""hi""","1"\n"","x;y","2"\n"-2000","","3"\n',
    ],
)
def test_the_same_table_in_many_forms(read, text):
    assert plain(read(text)) == SAME


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark(read, encoding):
    assert plain(read("größe,ort\n1,köln\n", encoding=encoding)) == {"größe": [1], "ort": ["köln"]}


def test_an_encoding_that_is_given(read):
    assert plain(read("ort;x\nköln;1\n", Format(encoding="cp1252"), encoding="cp1252"))["ort"] == ["köln"]
    with pytest.raises(ValueError, match=r"t\.csv, line 2: byte 0xf6 is not utf-8: give --encoding cp1252"):
        read("ort;x\nköln;1\n", encoding="cp1252")
    with pytest.raises(ValueError, match="unknown encoding 'klingon'"):
        read("a,b\n1,2\n", Format(encoding="klingon"))


@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=8),
            min_size=2,
            max_size=2,
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(",;\t|"),
)
@settings(max_examples=30, deadline=None)
def test_any_texts_are_read_as_the_csv_module_wrote_them(tmp_path_factory, rows, delimiter):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerow(["first", "second"])
        writer.writerows(rows)
    kinds = {"first": "text", "second": "text"}
    found = plain(read_table(str(path), Format(delimiter=delimiter), kinds))
    for place, name in enumerate(kinds):
        expected = [row[place].strip() for row in rows]
        assert found[name] == [None if text in GAPS else text for text in expected]


def test_a_column_that_turns_out_to_be_of_texts(read, monkeypatch):
    """In a later range of rows: the texts of the first are kept as they were."""
    monkeypatch.setattr(reading, "ROWS", 4)
    found = read("code,x\n" + "007,1\n1.50,2\n" * 4 + "A1,3\n" * 9)
    assert plain(found)["code"] == ["007", "1.50"] * 4 + ["A1"] * 9
    assert kind_of(found.columns["code"]) == "text"


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("1\n2.5\nNA", "number", "1 to 2.5; 1 gap"),
        ("b\na\nb", "text", "2 categories: a, b"),
        ("x\nNA\nx", "text", "1 category: x; 1 gap"),
        ("2024-01-31\n\n2024-02-01 12:00", "date", "dates"),
        ("NA\n?\nNA", "empty", "no values"),
        ("1_000\n2\n3", "text", "3 categories: 1_000, 2, 3"),
        ("1.234,5\n-7\n1.000.000", "number", "-7 to 1e+06"),
    ],
)
def test_kinds_are_found(read, text, kind, words):
    column = read(f"x\n{text}\n").columns["x"]
    assert (kind_of(column), described(column)) == (kind, words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"t\.csv is empty: row 1 must hold the names"),
        ("a,b\n", "has a header and no rows"),
        ("1,2\n3,4\n", "row 1 must hold the names of the columns, not numbers alone: 1, 2"),
        ("a,b,a\n1,2,3\n", "row 1: column 3 is 'a', as an earlier one is"),
        ("a,b\n1,2\n\n3\n", r"t\.csv, row 4 has 1 fields, and the header 2"),
        ("a,b\n1,2\n3,4,5\n", "row 3 has 3 fields, and the header 2"),
        ('a,b\n"x\ny",1\n2,inf\n', r"column 'b', row 3 holds infinity"),
        ("a;b\n1,234;x\n12,500;y\n", r"column 'a', row 2: '1,234' may be 1\.234 or 1234: give --decimal"),
        (
            "a,b\n" + "1,2\n" * 30 + "old,2\n",
            r"column 'a', row 32: 'old' is no number, as 96\.77 % .*--missing 'old'",
        ),
    ],
)
def test_bad_files(read, text, message):
    with pytest.raises(ValueError, match=message):
        read(text)


def test_doubts_that_are_answered(read):
    text = "a;b\n1,234;x\n12,500;y\n"
    assert plain(read(text, Format(decimal=",")))["a"] == [1.234, 12.5]
    mixed = "a,b\n" + "1,2\n" * 30 + "old,2\n"
    assert plain(read(mixed, Format(missing=["old"])))["a"][-1] is None
    assert plain(read(mixed, kinds={"a": "text"}))["a"][-2:] == ["1", "old"]
    with pytest.raises(ValueError, match="the decimal sign must be"):
        read(text, Format(decimal="'"))
    with pytest.raises(ValueError, match="the delimiter must be"):
        read(text, Format(delimiter=":"))


@pytest.mark.parametrize("gap", ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "null", "?"])
def test_usual_texts_of_gaps(read, gap):
    assert plain(read(f"a,b\n1,2\n{gap},3\n4,5\n"))["a"] == [1.0, None, 4.0]


def test_columns_that_must_be_there(read):
    with pytest.raises(ValueError, match=r"t\.csv has no column 'c': there are 'a', 'b'"):
        read("a,b\n1,2\n", kinds={"c": "number"})
    with pytest.raises(ValueError, match=r"column 'a', row 3: 'x' is no number, as all .* --missing 'x' if"):
        read("a,b\n1,2\nx,3\n", kinds={"a": "number"})


def test_other_files(tmp_path):
    with pytest.raises(ValueError, match=r"must end in one of \.csv, .*, not 'table\.xlsx'"):
        read_table("table.xlsx")
    with pytest.raises(OSError, match=r"nothing\.csv"):
        read_table(str(tmp_path / "nothing.csv"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(
        (ValueError, ModuleNotFoundError), match=r"broken\.parquet is no Parquet file|need pyarrow"
    ):
        read_table(str(tmp_path / "broken.parquet"))


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
@pytest.mark.parametrize("library", ["pyarrow", "polars"])
def test_parquet_and_feather(suffix, library, tmp_path, monkeypatch):
    import sys

    module = pytest.importorskip(library, reason=f"{library} writes and reads the files")
    columns = {"x": [1, None, 3], "t": ["b", None, "a"], "f": [True, False, None]}
    path = str(tmp_path / f"table{suffix}")
    if library == "pyarrow":
        from pyarrow import feather, parquet

        (parquet.write_table if suffix == ".parquet" else feather.write_feather)(module.table(columns), path)
    else:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        frame = module.DataFrame(columns)
        frame.write_parquet(path) if suffix == ".parquet" else frame.write_ipc(path)
    found = read_table(path)
    expected = {"x": [1, None, 3], "t": ["b", None, "a"], "f": ["True", "False", None]}
    assert plain(found) == expected
