"""A person who writes with pycrdt.

Each line on standard input is an object: `read`, an update of others in base64, or `seed` and `text`: something random is
done, and `text` is what is written if anything is. The answer to the latter is a line with the updates that it made.
"""

import base64
import json
import random
import sys

from pycrdt import Array, Doc, Map, Text, UndoManager, XmlElement, XmlFragment, XmlText

MARKS = [{"bold": True}, {"color": "#e60000"}, {"link": {"href": "somewhere"}}, {"bold": None}]
VALUES = [None, True, -1, 2**40, 0.5, "naïve 🎉", [1, [2]], {"b": 1, "a": {"c": None}}, b"\x00\xff"]


class Person:
    def __init__(self, client, gc):
        self.doc = Doc(client_id=client, skip_gc=not gc)
        self.text = self.doc.get("text", type=Text)
        self.map = self.doc.get("map", type=Map)
        self.array = self.doc.get("array", type=Array)
        self.xml = self.doc.get("xml", type=XmlFragment)
        self.now = 0
        scopes = [self.text, self.map, self.array, self.xml]
        self.undoing = UndoManager(scopes=scopes, capture_timeout_millis=500, timestamp=lambda: self.now)
        self.updates = []
        self.subscription = self.doc.observe(lambda event: self.updates.append(event.update))

    def read(self, update):
        self.doc.apply_update(update)

    def act(self, rng, text):
        self.now += rng.choice([30, 200, 900])
        weights = {
            self.type: 8,
            self.erase: 4,
            self.mark: 3,
            self.replace: 2,
            self.set: 3,
            self.list: 3,
            self.cells: 3,
            self.element: 3,
            self.subdocument: 1,
            self.several: 1,
            self.undo: 2,
            self.redo: 1,
        }
        rng.choices(list(weights), list(weights.values()))[0](rng, text)

    def place(self, rng, text):
        """A place between two characters; places are counted in bytes of UTF-8."""
        string = str(text)
        return len(string[: rng.randint(0, len(string))].encode())

    def span(self, rng, text, longest=12):
        string = str(text)
        start = rng.randint(0, len(string))
        end = min(len(string), start + rng.randint(1, longest))
        return len(string[:start].encode()), len(string[:end].encode())

    def type(self, rng, text):
        at = self.place(rng, self.text)
        for sign in text:
            self.text.insert(at, sign)
            at += len(sign.encode())

    def erase(self, rng, _):
        start, end = self.span(rng, self.text)
        if start < end:
            del self.text[start:end]

    def mark(self, rng, _):
        start, end = self.span(rng, self.text, 20)
        if start < end:
            self.text.format(start, end, rng.choice(MARKS))

    def replace(self, rng, text):
        start, end = self.span(rng, self.text)
        with self.doc.transaction():
            if start < end:
                del self.text[start:end]
            self.text.insert(start, text)

    def set(self, rng, text):
        key = rng.choice(["title", "owner", "größe", "note"])
        if key in self.map and rng.random() < 0.2:
            del self.map[key]
        elif key == "note":
            self.map[key] = Text(text)
            self.map[key].insert_embed(0, {"image": "a.png"})
        else:
            self.map[key] = rng.choice(VALUES)

    def list(self, rng, text):
        if len(self.array) > 3 and rng.random() < 0.4:
            start = rng.randrange(len(self.array))
            del self.array[start : min(len(self.array), start + rng.randint(1, 3))]
        else:
            self.array.insert(rng.randint(0, len(self.array)), rng.choice([*VALUES, text]))

    def cells(self, rng, text):
        """A notebook: a list of maps, each with its text."""
        cells = [cell for cell in self.array if isinstance(cell, Map)]
        if not cells or rng.random() < 0.3:
            self.array.append(Map({"kind": "code", "source": Text(text), "outputs": Array([1, 2])}))
            return
        cell = rng.choice(cells)
        source = cell["source"]
        source.insert(self.place(rng, source), text)
        cell["count"] = rng.randint(1, 100)
        cell["outputs"].clear()

    def element(self, rng, text):
        children = list(self.xml.children)
        if not children or rng.random() < 0.4:
            inner = [XmlText(text)]
            self.xml.children.insert(rng.randint(0, len(children)), XmlElement("p", {"class": "a"}, inner))
            return
        at = rng.randrange(len(children))
        child = children[at]
        if rng.random() < 0.2:
            del self.xml.children[at]
        elif isinstance(child, XmlElement):
            child.attributes["class"] = text
            child.children.append(XmlText(text))

    def subdocument(self, rng, _):
        self.map[f"page {rng.randint(0, 2)}"] = Doc(guid=f"page-{rng.randint(0, 9)}")

    def several(self, rng, text):
        with self.doc.transaction():
            for action in [self.set, self.list, self.cells, self.element]:
                action(rng, text)

    def undo(self, *_):
        self.undoing.undo()

    def redo(self, *_):
        self.undoing.redo()


def main():
    person = Person(**json.loads(sys.argv[1]))
    for line in sys.stdin:
        wanted = json.loads(line)
        if "read" in wanted:
            person.read(base64.b64decode(wanted["read"]))
            continue
        person.updates.clear()
        failed = None
        try:
            person.act(random.Random(wanted["seed"]), wanted["text"])
        except Exception as error:
            failed = f"{type(error).__name__}: {error}"
        updates = [base64.b64encode(update).decode() for update in person.updates]
        print(json.dumps({"updates": updates, "failed": failed}), flush=True)


if __name__ == "__main__":
    main()
