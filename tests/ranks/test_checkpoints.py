"""A checkpoint of a fit on some ranks resumes on another number of them, to the bits of the unbroken fit."""

import sys

import ranks_checkpoints


def alone(path, epochs, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["", str(path), str(epochs), "alone"])
    ranks_checkpoints.main()
    return capsys.readouterr().out.splitlines()[-1]


def test_resume_on_fewer_ranks_and_alone(on_ranks, tmp_path, monkeypatch, capsys):
    wanted = alone(tmp_path / "whole.npz", 3, monkeypatch, capsys)
    for epochs, ranks in ((1, 4), (2, 2)):
        on_ranks(ranks, "ranks_checkpoints.py", tmp_path / "cut.npz", epochs)
    assert alone(tmp_path / "cut.npz", 3, monkeypatch, capsys) == wanted
