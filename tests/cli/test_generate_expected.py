"""``ourvidz generate`` says what a job should take, once jobs like it ran."""

QUICK = ("-j", "image_fast", "--num-inference-steps", "2", "--width", "64", "--height", "64")


def test_the_first_job_is_promised_nothing_and_the_second_a_time(cli):
    first = cli("generate", "a red circle", *QUICK, "--profile", "pocket")
    assert first.code == 0
    assert "expected" not in first.err
    second = cli("generate", "a red circle", *QUICK, "--profile", "pocket")
    assert second.code == 0
    assert "expected " in second.err
    assert "from 1 run)" in second.err
