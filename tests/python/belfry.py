"""What the outside clients share: where the daemon is, which tokens it gave, what its author published."""

import json
import os
from pathlib import Path

URL = os.environ["BELFRY_URL"]
MEDIA = "application/taxii+json;version=2.1"


def minified(text):
    """JSON text without the white space outside its strings; every other character stays."""
    out, inside, escaped = [], False, False
    for character in text:
        if inside:
            out.append(character)
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character not in " \t\r\n":
            out.append(character)
            inside = character == '"'
    return "".join(out)


def spans(text):
    """The objects of a minified bundle, each as its own text."""
    start = text.index('"objects":[') + len('"objects":[')
    depth, inside, escaped, begin = 0, False, False, None
    for at in range(start, len(text)):
        character = text[at]
        if inside:
            escaped, inside = (character == "\\" and not escaped), (escaped or character != '"')
            continue
        if character == '"':
            inside = True
        elif character in "{[":
            if depth == 0:
                begin = at
            depth += 1
        elif character in "}]":
            if depth == 0:
                return
            depth -= 1
            if depth == 0:
                yield text[begin:at + 1]


def published():
    """(parsed object, its exact minified text) of everything the author published, in order."""
    for path in os.environ["BELFRY_BUNDLES"].split(os.pathsep):
        for text in spans(minified(Path(path).read_text(encoding="utf-8"))):
            yield json.loads(text), text


def name(thing):
    """What tells one version of one object from all others."""
    return thing["id"], thing.get("modified", thing.get("created", ""))


def is_definition(thing):
    return thing["type"] == "marking-definition"


def without_definitions(objects):
    """TLP 2.0 definitions come along with the objects that use them; they are no rows of the collection."""
    return [thing for thing in objects if not is_definition(thing)]
