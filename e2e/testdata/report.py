# Prints the tables of a report, HTML or XLSX, as JSON: {title: [header, row, …]}. It uses
# only Python's standard library, and fails if the file isn't valid.
import html.parser
import json
import re
import sys
import xml.etree.ElementTree as xml
import zipfile

VOID = {"meta", "br", "hr", "img", "link", "input", "col", "wbr"}
PARENTS = {  # of elements that have only some
    "head": {"html"}, "body": {"html"}, "title": {"head"}, "meta": {"head"}, "style": {"head"}, "main": {"body"}, "tr": {"thead", "tbody"},
    "thead": {"table"}, "tbody": {"table"}, "caption": {"table"}, "th": {"tr"}, "td": {"tr"}, "li": {"ol"}, "dt": {"div"}, "dd": {"div"},
}
CONTENT = {"html": {"head", "body"}, "table": {"caption", "thead", "tbody"}, "tr": {"th", "td"}, "ol": {"li"}, "dl": {"div"},
           "p": set(), "a": set(), "dt": set(), "dd": set(), "caption": set(), "h1": set(), "h2": set(), "td": set(), "span": set()}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "href", "rel", "id", "aria-labelledby", "aria-label", "role", "tabindex", "scope", "dir"}


class HTML(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.tables = [], set(), {}
        self.heading = self.row = self.cell = None
        assert text.startswith("<!DOCTYPE html>\n<html lang=\"en\">"), "the start of the file"
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        parent = self.open[-1] if self.open else None
        assert parent in PARENTS.get(tag, {parent}), f"<{tag}> in <{parent}>"
        assert tag in CONTENT.get(parent, {tag}), f"<{tag}> in <{parent}>"
        names = [name for name, _ in attributes]
        assert len(set(names)) == len(names) and set(names) <= ATTRIBUTES, f"attributes of <{tag}>: {names}"
        for name, value in attributes:
            assert value, f"{name} of <{tag}> has no value"
            if name == "id":
                assert value not in self.ids, f"the id {value} occurs twice"
                self.ids.add(value)
            if name == "href":
                assert value.startswith(("#", "https://")), f"address {value}"
        if tag not in VOID:
            self.open.append(tag)
        if tag == "h2":
            self.heading = ""
        if tag == "table":
            self.rows = self.tables[self.heading] = []
        if tag == "tr":
            self.row = []
            self.rows.append(self.row)
        if tag in ("td", "th"):
            self.row.append("")

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.heading += data
        elif "tr" in self.open:
            self.row[-1] += data

    def handle_comment(self, data):
        raise AssertionError(f"comment {data}")


NS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def decode(text):
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda m: chr(int(m[1], 16)), text)


def text_of(element):
    return decode("".join(t.text or "" for t in element.iter(NS + "t")))


def xlsx(path):
    with zipfile.ZipFile(path) as z:
        assert z.testzip() is None
        parts = {name: xml.fromstring(z.read(name)) for name in z.namelist()}  # each part is XML
    assert not [name for name in parts if "external" in name.lower() or "vba" in name.lower()], "links or macros"
    shared = [text_of(si) for si in parts["xl/sharedStrings.xml"].iter(NS + "si")]
    tables = {}
    relations = {r.get("Id"): r.get("Target") for r in parts["xl/_rels/workbook.xml.rels"]}
    for sheet in parts["xl/workbook.xml"].iter(NS + "sheet"):
        target = relations[sheet.get("{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id")]
        rows = tables[sheet.get("name")] = []
        part = parts["xl/" + target.removeprefix("/xl/")]
        assert next(part.iter(NS + "f"), None) is None, "a formula"
        for row in part.iter(NS + "row"):
            rows.extend([] for _ in range(int(row.get("r")) - len(rows)))
            for cell in row.iter(NS + "c"):
                column = 0
                for letter in re.match("[A-Z]+", cell.get("r"))[0]:
                    column = column * 26 + ord(letter) - 64
                rows[-1].extend([""] * (column - len(rows[-1])))
                assert cell.get("t") in ("s", "inlineStr"), f"{cell.get('r')} is no text"
                rows[-1][-1] = shared[int(cell.find(NS + "v").text)] if cell.get("t") == "s" else text_of(cell)
    return tables


path = sys.argv[1]
if path.endswith(".xlsx"):
    tables = xlsx(path)
else:
    tables = HTML(open(path, encoding="utf-8", newline="").read()).tables
json.dump(tables, sys.stdout)
