"""Outputs: whole or absent, what they replace, and what killed runs leave behind."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from speechlm import audio
from speechlm.errors import SpeechLMError
from speechlm.utils import files
from speechlm.utils.files import atomic_path, check_output, make_folder


def put(path: Path, content: str = "new") -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to("real/target.txt")
    for content in ("first", "second"):  # the target is missing, and then is there
        put(tmp_path / "link.txt", content)
        assert (tmp_path / "link.txt").is_symlink()
        assert (tmp_path / "real" / "target.txt").read_text() == content
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(SpeechLMError, match="leads in a circle"):
        put(tmp_path / "a")


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_permissions_are_kept(tmp_path, mode):
    path = tmp_path / "a.txt"
    path.touch()
    path.chmod(mode)
    put(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_fifo_gets_the_data(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    put(pipe)
    reader.join()
    assert got == ["new"] and stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_an_open_descriptor_is_written_behind_what_it_has(tmp_path):
    with (tmp_path / "out").open("ab") as file:
        file.write(b"old ")
        file.flush()
        put(Path(f"/dev/fd/{file.fileno()}"))
    assert (tmp_path / "out").read_text() == "old new"


@pytest.mark.parametrize("stem", ["n" * 251, "é" * 125, "日" * 83])
def test_the_longest_name(tmp_path, stem):
    path = tmp_path / f"{stem}.txt"
    put(path)
    assert path.read_text() == "new"
    with pytest.raises(SpeechLMError, match="File name too long"):
        put(tmp_path / f"{stem}{stem}.txt")


def test_what_a_killed_run_left_is_removed_and_what_another_writes_is_not(tmp_path, monkeypatch):
    code = (
        "import sys, time; from pathlib import Path; from speechlm.utils.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as path:\n"
        "    path.write_text('half'); print('ready', flush=True); time.sleep(600)"
    )
    for end in (signal.SIGKILL, None):
        command = [sys.executable, "-c", code, str(tmp_path / "[a] b.txt")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            if end is not None:
                process.send_signal(end)
                process.wait()
            (tmp_path / ".notes-of-a-user.txt").touch()
            monkeypatch.setattr(files, "_cleaned", set())
            put(tmp_path / "other.txt")
            unfinished = [name for name in names(tmp_path) if ".part" in name]
            assert len(unfinished) == (0 if end else 1)
            process.kill()
    assert ".notes-of-a-user.txt" in names(tmp_path)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_leave_nothing(tmp_path, end):
    code = (
        "import sys, time; from pathlib import Path; from speechlm.utils.files import atomic_path\n"
        "from speechlm.utils.signals import exit_on_signals\n"
        "exit_on_signals()\n"
        "with atomic_path(Path(sys.argv[1])) as path:\n"
        "    print('ready', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.txt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.send_signal(end)
        assert process.wait() != 0
    assert names(tmp_path) == []


def limited(code: str, path: Path) -> str:
    """What a program prints that cannot write more than 1,000 bytes to a file."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.npy"])
def test_a_full_disk_is_one_line_and_the_old_file_stays(tmp_path, name):
    (tmp_path / name).write_text("old")
    code = """
import sys, numpy as np
from speechlm import audio
from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path
wave = np.random.default_rng(0).uniform(-0.9, 0.9, 30000).astype("f")
try:
    if sys.argv[1].endswith("npy"):
        with atomic_path(sys.argv[1]) as path:
            np.save(path, wave)
    else:
        audio.write(sys.argv[1], wave, 16000)
except SpeechLMError as error:
    print(error)
"""
    printed = limited(code, tmp_path / name)
    assert printed.count("\n") == 1
    assert printed.startswith(f"{tmp_path / name}: cannot be written: ")
    assert (tmp_path / name).read_text() == "old"
    assert names(tmp_path) == [name]


def test_an_error_about_another_file_names_that(tmp_path):
    absent = tmp_path / "absent.txt"
    with (
        pytest.raises(SpeechLMError, match=r"absent\.txt: No such file"),
        atomic_path(tmp_path / "a.txt"),
    ):
        absent.read_text()
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_created_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    for folder in ("file", "file/below"):
        with pytest.raises(SpeechLMError, match=f"{folder}: cannot be created: "):
            make_folder(tmp_path / folder)
    assert make_folder(tmp_path / "a" / "b").is_dir()


def test_inputs_and_files_of_another_kind_are_not_replaced(tmp_path):
    recording, packed = tmp_path / "a.wav", tmp_path / "a.slm"
    audio.write(recording, np.zeros(100, np.float32), 16000)
    packed.write_bytes(b"SLM\1more")
    (tmp_path / "empty").touch()
    (tmp_path / "same.slm").hardlink_to(packed)
    for target in (packed, tmp_path / "empty", tmp_path / "absent", Path("/dev/null")):
        check_output(target, [recording], [b"SLM"], "a stream")
    with pytest.raises(SpeechLMError, match="holds something else than a stream"):
        check_output(recording, [packed], [b"SLM"], "a stream")
    with pytest.raises(SpeechLMError, match="is an input, too"):
        check_output(tmp_path / "same.slm", [packed], [b"SLM"], "a stream")
    for target in (recording, packed):
        check_output(target, [packed], [b"SLM"], "a stream", force=True)
