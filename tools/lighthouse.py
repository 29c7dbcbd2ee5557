"""Measure the built site with Lighthouse on an emulated phone, and fail below the book's bars.

Usage: python tools/lighthouse.py [--site FOLDER] [--few | PAGE ...]      (no page: all of them)

The pages are served on this machine with gzip, as a static host serves them; the phone, its network and its
processor are Lighthouse's mobile preset. A page below the bar of performance is measured three times and the
middle counts, because other work on this machine slows the emulated phone down. All reports are kept in
_build/lighthouse, with summary.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from browser import find_browser, launch_options
from serve import served

ROOT = Path(__file__).resolve().parents[1]
LIGHTHOUSE = ROOT / "tools" / "node_modules" / "lighthouse" / "cli" / "index.js"
REPORTS = ROOT / "_build" / "lighthouse"
# category: (least median over the pages, least of any page)
BARS = {
    "performance": (0.95, 0.90),
    "accessibility": (1.0, 1.0),
    "best-practices": (1.0, 1.0),
    "seo": (1.0, 1.0),
}
FACTS = {
    "largest-contentful-paint": "LCP ms",
    "total-blocking-time": "TBT ms",
    "dom-size-insight": "elements",
}


def pages_of(site: Path) -> list[str]:
    return sorted(
        file.relative_to(site).as_posix()
        for file in site.rglob("*.html")
        if not {"_static", "_sources"} & set(file.relative_to(site).parts)
    )


def measure(address: str, page: str) -> dict:
    """Return the summary of a page: of one run, or of the middle one of three."""
    runs = [summary_of(run_lighthouse(address, page))]
    if (runs[0]["performance"] or 0) < BARS["performance"][1]:
        runs += [summary_of(run_lighthouse(address, page)) for _ in range(2)]
    return sorted(runs, key=lambda run: run["performance"] or 0)[len(runs) // 2]


def run_lighthouse(address: str, page: str) -> dict:
    """Run Lighthouse on one page; keep and return its report."""
    report = REPORTS / (page.removesuffix(".html").replace("/", "-") + ".json")
    browser = find_browser()
    command = [
        "node",
        str(LIGHTHOUSE),
        f"{address}/{page}",
        "--quiet",
        "--output=json",
        f"--output-path={report}",
        "--disable-full-page-screenshot",
        f"--only-categories={','.join(BARS)}",
        "--chrome-flags=" + " ".join(["--headless=new", *launch_options(browser)["args"]]),
    ]
    subprocess.run(command, check=True, env={**os.environ, "CHROME_PATH": browser}, timeout=180)
    return json.loads(report.read_text(encoding="utf-8"))


def summary_of(report: dict) -> dict:
    """Return the scores of a report, and every audit that costs one of them something."""
    scores = {name: report["categories"][name]["score"] for name in BARS}
    numbers = {name: round(report["audits"][audit].get("numericValue", 0)) for audit, name in FACTS.items()}
    weighed = {
        entry["id"]
        for category in report["categories"].values()
        for entry in category["auditRefs"]
        if entry["weight"] > 0
    }
    lost = {
        name: audit["score"]
        for name, audit in report["audits"].items()
        if name in weighed and audit["score"] is not None and audit["score"] < 1
    }
    requests = report["audits"]["network-requests"]["details"]["items"]
    weight = sum(item.get("transferSize", 0) for item in requests)
    return {**scores, **numbers, "requests": len(requests), "bytes": weight, "lost": lost}


def missed_bars(found: dict[str, dict]) -> list[str]:
    """Return a sentence for every bar that the pages miss."""
    missed = []
    for category, (least_median, least) in BARS.items():
        for page, row in found.items():
            if row[category] is None or row[category] < least:
                missed.append(f"{page}: {category} {row[category]}, at least {least} is asked")
        median = statistics.median(row[category] or 0 for row in found.values())
        if median < least_median:
            missed.append(f"median {category} {median}, at least {least_median} is asked")
    return missed


def show(found: dict[str, dict]) -> None:
    numbers = [*FACTS.values(), "requests", "bytes"]
    width = max(map(len, found))
    print(f"{'':{width}}  " + "  ".join(f"{name:>14}" for name in [*BARS, *numbers]))
    rows = dict(found)
    for name, pick in {"lowest": min, "median": statistics.median, "highest": max}.items():
        rows[name] = {key: pick(row[key] or 0 for row in found.values()) for key in [*BARS, *numbers]}
    for page, row in rows.items():
        cells = [f"{row[name] or 0:>14.2f}" for name in BARS] + [f"{row[name]:>14,.0f}" for name in numbers]
        print(f"{page:{width}}  " + "  ".join(cells))


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the built site with Lighthouse.")
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--few", action="store_true", help="the front page, the search, the heaviest page")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="such as book/index.html; no page: all")
    asked = parser.parse_args()
    available = pages_of(asked.site)
    if not available:
        print("There is no site yet. Build it with: make book", file=sys.stderr)
        return 2
    if unknown := set(asked.pages) - set(available):
        print(f"No such page: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    if asked.few:
        heaviest = max(available, key=lambda page: (asked.site / page).stat().st_size)
        asked.pages = ["book/index.html", "search.html", heaviest]
    REPORTS.mkdir(parents=True, exist_ok=True)
    found = {}
    with served(asked.site) as address:
        for page in asked.pages or available:
            found[page] = measure(address, page)
    (REPORTS / "summary.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    show(found)
    missed = missed_bars(found)
    for sentence in missed:
        print(sentence, file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
