from galwad.switch.checkpoints import Checkpoints


def test_what_a_killed_switch_left_is_found_again(tmp_path):
    Checkpoints(tmp_path).save("one", {"legs": [1]})
    assert list(Checkpoints(tmp_path).left_behind()) == [("one", {"legs": [1]})]


def test_an_ended_call_leaves_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("one", {"legs": [1]})
    checkpoints.save("one", {"legs": [2]})
    checkpoints.remove("one")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_dropped_and_the_others_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("one", {"legs": [1]})
    (tmp_path / "two.call").write_bytes(b'{"legs"')
    assert [call_id for call_id, _ in checkpoints.left_behind()] == ["one"]
    assert not (tmp_path / "two.call").exists()


def test_checkpoints_are_for_the_switch_alone(tmp_path):
    Checkpoints(tmp_path / "calls").save("one", {"number": "+441632960001"})
    (file,) = (tmp_path / "calls").iterdir()
    assert file.stat().st_mode & 0o077 == 0
