"""The browser finder, on machines that are only imagined."""

import pytest

from tools.browser import NoBrowserError, find_browser, installed_browser


class Machine:
    """What is there, what an installation would bring, and what was run."""

    def __init__(self, files=(), programs=(), root=False, apt_brings=(), download_brings=()):
        self.files = set(files)
        self.programs = dict(programs)
        self.is_root = root
        self.apt_brings = apt_brings
        self.download_brings = download_brings
        self.commands: list[list[str]] = []

    def run(self, command):
        self.commands.append([str(word) for word in command])
        if "apt-get" in command:
            self.files.update(self.apt_brings)
            return bool(self.apt_brings)
        self.files.update(self.download_brings)
        return bool(self.download_brings)

    def find(self):
        return find_browser(
            which=self.programs.get,
            exists=self.files.__contains__,
            root=lambda: self.is_root,
            run=self.run,
            downloaded=lambda: "/cache/chrome",
        )


@pytest.fixture(autouse=True)
def no_named_browser(monkeypatch):
    monkeypatch.delenv("DETR_TUTORIAL_BROWSER", raising=False)


def debian(**more) -> Machine:
    return Machine(files={"/etc/debian_version"}, programs={"apt-get": "/usr/bin/apt-get"}, **more)


def test_the_system_chromium_comes_first_and_nothing_is_installed():
    machine = Machine(files={"/usr/bin/chromium"}, programs={"google-chrome": "/opt/chrome"}, root=True)
    assert machine.find() == "/usr/bin/chromium"
    assert machine.commands == []


def test_chrome_on_the_path_is_used():
    machine = Machine(programs={"google-chrome": "/opt/google/chrome"})
    assert machine.find() == "/opt/google/chrome"
    assert machine.commands == []


def test_root_on_debian_installs_chromium_with_apt():
    machine = debian(root=True, apt_brings={"/usr/bin/chromium"})
    assert machine.find() == "/usr/bin/chromium"
    assert [command[:2] for command in machine.commands] == [["apt-get", "update"], ["apt-get", "install"]]


def test_another_user_on_debian_leaves_apt_alone_and_downloads():
    machine = debian(root=False, download_brings={"/cache/chrome"})
    assert machine.find() == "/cache/chrome"
    assert all("apt-get" not in command for command in machine.commands)
    assert machine.commands[0][1:] == ["-m", "playwright", "install", "chromium"]


def test_a_failing_apt_falls_back_to_the_download():
    machine = debian(root=True, download_brings={"/cache/chrome"})
    assert machine.find() == "/cache/chrome"


def test_a_browser_that_was_downloaded_before_is_not_downloaded_again():
    machine = Machine(files={"/cache/chrome"})
    assert machine.find() == "/cache/chrome"
    assert machine.commands == []


def test_without_any_browser_one_line_says_what_to_install():
    with pytest.raises(NoBrowserError) as caught:
        Machine().find()
    assert "install Chromium" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_named_browser_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setenv("DETR_TUTORIAL_BROWSER", "/nowhere/chromium")
    with pytest.raises(NoBrowserError, match="/nowhere/chromium"):
        Machine(files={"/usr/bin/chromium"}).find()


def test_the_finder_looks_at_this_machine_by_default(monkeypatch, tmp_path):
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed_browser(exists=lambda path: False) == str(program)
