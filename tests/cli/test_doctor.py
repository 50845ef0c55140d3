def test_it_says_what_is_here_and_what_mends_the_rest(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("OURVIDZ_PROFILE", "full")
    outcome = cli("doctor", "--json")
    topics = {finding["topic"] for finding in outcome.last_json["findings"]}
    assert {"packages", "device", "output", "models in use"} <= topics
    assert outcome.code == 0


def test_a_missing_model_of_the_profile_in_use_fails_with_its_command(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("OURVIDZ_PROFILE", "full")
    monkeypatch.setenv("OURVIDZ_MODELS_DIR", str(tmp_path))
    outcome = cli("doctor")
    assert outcome.code == 1
    assert "ourvidz models pull wan2.1-t2v-1.3b" in outcome.err


def test_an_enhancer_elsewhere_is_not_missing(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("OURVIDZ_PROFILE", "full")
    monkeypatch.setenv("OURVIDZ_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("OURVIDZ_ENHANCER_URL", "http://127.0.0.1:1/v1?token=hidden")
    monkeypatch.setenv("OURVIDZ_ENHANCER_MODEL", "some-chat")
    outcome = cli("doctor")
    assert "some-chat" in outcome.err
    assert "models pull qwen2.5-7b-instruct" not in outcome.err
    assert "hidden" not in outcome.err


def test_it_writes_nothing(cli, tmp_path):
    cli("doctor")
    assert list(tmp_path.iterdir()) == []


def test_extras_are_named_with_their_brackets(cli, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pynvml" else found(name)
    )
    assert "pip install 'ourvidz[gpu]'" in cli("doctor").err
