"""Each file of configs/rejected is refused by `takt check` with exactly its .expected text, and every other config loads, the example of the reference too.

    rejected_configs_test.py TAKT [--write]

--write puts what takt says in place of the .expected files: read the difference before you keep it.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXIT_MISTAKE = 2

MASTER = {
    "plants": "plant,time_zone,currency\nP1,Europe/Berlin,EUR\n",
    "materials": "material,valid_from,category,base_unit,standard_cost\nM,2020-01-01T00:00:00Z,raw,pcs,1.5\n",
    "units": "material,unit,numerator,denominator\n*,box,10,1\n",
    "work_centers": "work_center,valid_from,plant,cost_center,machine_rate,labor_rate\nW,2020-01-01T00:00:00Z,P1,C1,10,20\n",
    "tariffs": "plant,valid_from,price_per_kwh\nP1,2020-01-01T00:00:00Z,0.25\n",
    "shifts": "plant,shift,start,end\nP1,day,06:00,18:00\nP1,night,18:00,06:00\n",
    "accounts": "type,category,debit,credit\ngoods_receipt,raw,1,2\n",
}


def check(takt, path, environment):
    """Paths in messages are as the user names the file: from the root of the repository."""
    return subprocess.run([takt, "check", path.relative_to(ROOT).as_posix()], cwd=ROOT, env=environment, capture_output=True, text=True)


def refused_as_expected(takt, path, environment, write):
    expected_path = path.with_suffix(".expected")
    done = check(takt, path, environment)
    if write:
        expected_path.write_text(done.stderr, encoding="utf-8")
    expected = expected_path.read_text(encoding="utf-8") if expected_path.exists() else ""
    if done.returncode == EXIT_MISTAKE and done.stderr == expected and expected:
        return True
    print(f"{path.relative_to(ROOT)}: exit {done.returncode}; expected:\n{expected}\nfound:\n{done.stderr}")
    return False


def loads(takt, path, environment):
    done = check(takt, path, environment)
    if done.returncode == 0:
        return True
    print(f"{path.relative_to(ROOT)}: exit {done.returncode}\n{done.stderr}")
    return False


def example_loads(takt, folder, environment):
    """The commented example of docs/reference/pipeline.md, with the files that it names."""
    page = (ROOT / "docs/reference/pipeline.md").read_text(encoding="utf-8")
    text = re.search(r"```yaml\n(.*?)```", page, re.DOTALL).group(1)
    place = pathlib.Path(folder) / "example"
    for name in ("master", "shared"):
        (place / name).mkdir(parents=True)
    for name in ("tariffs", "shifts"):
        (place / f"master/{name}.csv").write_text(MASTER[name], encoding="utf-8")
    (place / "shared/tables.yaml").write_text("tables: {}\n", encoding="utf-8")
    (place / "energy.yaml").write_text(text.replace("../schemas", (ROOT / "schemas").as_posix()), encoding="utf-8")
    done = subprocess.run([takt, "check", "energy.yaml"], cwd=place, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"docs/reference/pipeline.md: the example does not load\n{done.stderr}")
    return done.returncode == 0


def main(arguments):
    takt, write = arguments[0], "--write" in arguments[1:]
    rejected = sorted((ROOT / "configs/rejected").glob("*.yaml"))
    # What has no sources is included by others. Tests of pipelines are no pipelines.
    others = [path for path in sorted((ROOT / "configs").rglob("*.yaml"))
              if path not in rejected and "\nsources:" in path.read_text(encoding="utf-8")]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in MASTER.items():
            (pathlib.Path(folder) / f"{name}.csv").write_text(text, encoding="utf-8")
        environment = dict(os.environ, TAKT_MASTER=folder, TAKT_EVENTS=f"{folder}/events", TAKT_LEDGER=f"{folder}/ledger.db")
        good = [refused_as_expected(takt, path, environment, write) for path in rejected]
        good += [loads(takt, path, environment) for path in others]
        good.append(example_loads(takt, folder, environment))
    orphans = [path for path in (ROOT / "configs/rejected").glob("*.expected") if not path.with_suffix(".yaml").exists()]
    for path in orphans:
        print(f"{path.relative_to(ROOT)}: no config of that name")
    print(f"{len(rejected)} refused configs and {len(others)} and an example that load; {good.count(False)} wrong")
    return 0 if all(good) and not orphans and len(rejected) >= 12 and others else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
