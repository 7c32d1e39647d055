"""The two pages of the service, without scripts and without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from tlcore.export.manifest import Manifest
from tlcore.serve.receiving import FIELD

MOST_NAMED = 12

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
a { color: inherit; }
h2 { margin-top: 2rem; }
form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: center; }
input, button { font: inherit; max-width: 100%; }
button { padding: .4rem 1rem; cursor: pointer; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid #8886;
  overflow-wrap: anywhere; }
td.number { text-align: right; white-space: nowrap; width: 5rem; }
meter { width: 100%; min-width: 4rem; }
th code { white-space: nowrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: .75rem; border: 1px solid #8886; border-radius: .4rem; }
.answer { font-size: 1.3rem; font-weight: 600; }
.problem { border-left: .3rem solid #c33; padding-left: .75rem; }
"""


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def front_page(
    manifest: Manifest,
    probabilities: Mapping[str, float] | None = None,
    *,
    is_known: bool = True,
    problem: str = "",
) -> str:
    """Return the page on which a person tries a picture.

    Args:
        manifest: The model.
        probabilities: The answer to the picture that was sent, the most probable class first; `None` without one.
        is_known: Whether that is above the threshold.
        problem: Why there is no answer.
    """
    names = manifest.class_names
    listed = ", ".join(names[:MOST_NAMED]) + (
        f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    )
    parts = [
        f"<h1>{escape(manifest.title)}</h1>",
        f"<p>This model tells what is on a picture. It knows these classes and no others: {escape(listed)}.</p>",
        '<form method="post" action="/" enctype="multipart/form-data">\n'
        f'<label for="picture">A picture</label>\n'
        f'<input id="picture" type="file" name="{FIELD}" accept="image/*" required>\n'
        "<button>Ask the model</button>\n</form>",
    ]
    if problem:
        parts.append(f'<p class="problem" role="alert">{escape(problem)}</p>')
    if probabilities:
        parts.append(_answer(probabilities, manifest.threshold, is_known=is_known))
    parts.append(
        "<p>The picture is looked at on the computer that runs this service, and is not kept. "
        'Programs ask in the same way: <a href="/docs">how they do that</a>.</p>'
    )
    return _page(manifest.title, "\n".join(parts))


def _answer(probabilities: Mapping[str, float], threshold: float, *, is_known: bool) -> str:
    best, value = next(iter(probabilities.items()))
    said = (
        f"{escape(best)} ({_percent(value)})"
        if is_known
        else f"I don’t know. The best guess, {escape(best)}, has {_percent(value)}; "
        f"an answer needs {_percent(threshold)}."
    )
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        f'<td><meter value="{share:.4f}" aria-label="{escape(name)}"></meter></td>'
        f'<td class="number">{_percent(share)}</td></tr>'
        for name, share in probabilities.items()
    )
    return f'<h2>Its answer</h2>\n<p class="answer" role="status">{said}</p>\n<table>\n{rows}\n</table>'


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def docs_page(description: Mapping[str, Any]) -> str:
    """Return what `/openapi.json` says, for people.

    Args:
        description: The OpenAPI description.
    """
    parts = [
        f"<h1>{escape(description['info']['title'])}: for programs</h1>",
        f"<p>{escape(description['info'].get('description', ''))} Every answer is JSON; one that is no success says in "
        "<code>problem</code> what went wrong and what to do. The same for tools, in the words of OpenAPI: "
        '<a href="/openapi.json">openapi.json</a>. To try a picture by hand: <a href="/">the front page</a>.</p>',
        "<h2>In short</h2>",
        f"<pre>{escape(_EXAMPLES)}</pre>",
    ]
    for path, methods in description["paths"].items():
        for method, one in methods.items():
            parts.append(_operation(path, method, one))
    return _page(f"{description['info']['title']}: for programs", "\n".join(parts))


_EXAMPLES = f"""\
curl -F {FIELD}=@new_picture.jpg http://ADDRESS/predict
curl --data-binary @new_picture.jpg -H "Content-Type: image/jpeg" "http://ADDRESS/predict?top=3"

# Python, with nothing to install
import json, urllib.request
data = open("new_picture.jpg", "rb").read()
request = urllib.request.Request("http://ADDRESS/predict", data, {{"Content-Type": "image/jpeg"}})
print(json.load(urllib.request.urlopen(request)))"""


def _operation(path: str, method: str, one: Mapping[str, Any]) -> str:
    parts = [
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>",
        f"<p>{escape(one.get('description', ''))}</p>",
    ]
    if parameters := one.get("parameters"):
        rows = [(f"?{each['name']}=", _sentence(each, each["schema"])) for each in parameters]
        parts += ["<h3>What may stand behind the address</h3>", _table(rows)]
    if body := one.get("requestBody"):
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in body["content"])
        parts += ["<h3>What it takes</h3>", f"<p>{escape(body.get('description', ''))} Content-Type: {kinds}.</p>"]
    answered, problems = [], []
    for status, response in one["responses"].items():
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        if status == "200":
            answered = [(name, field.get("description", "")) for name, field in schema.get("properties", {}).items()]
        else:
            problems.append((status, response["description"]))
    if answered:
        parts += ["<h3>What it answers</h3>", _table(answered)]
    if problems:
        parts += ["<h3>When it cannot</h3>", _table(problems)]
    return "\n".join(parts)


def _sentence(parameter: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    default = f" Without it: {schema['default']}." if "default" in schema else ""
    return f"{parameter.get('description', '')}{default}"


def _table(rows: list[tuple[str, str]]) -> str:
    lines = [
        f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{escape(words)}</td></tr>' for name, words in rows
    ]
    return "<table>\n" + "\n".join(lines) + "\n</table>"
