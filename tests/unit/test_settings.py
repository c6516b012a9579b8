import pytest

from tidemill.errors import InvalidSettings
from tidemill.settings import NEEDS, Settings


def test_a_function_reads_the_names_of_its_own_stores_and_no_others() -> None:
    everything = {name: name.lower() for needed in NEEDS.values() for name in needed}
    settings = Settings.of("deploy", everything)
    assert settings == Settings(model_bucket="model_bucket", registry_table="registry_table")


def test_all_missing_settings_are_named_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.of("prepare", {"DATA_BUCKET": "d", "CAPTURE_BUCKET": ""})
    assert str(caught.value) == (
        "CAPTURE_BUCKET is missing in function 'prepare'; REGISTRY_TABLE is missing in function 'prepare'"
    )


def test_a_setting_that_is_none_of_its_choices_is_named_with_them() -> None:
    known = {"MODEL_BUCKET": "m", "CAPTURE_BUCKET": "c", "REGISTRY_TABLE": "r"}
    with pytest.raises(InvalidSettings) as caught:
        Settings.of("infer", {**known, "CAPTURE": "mail", "AUTHORIZATION": "IAM"})
    assert str(caught.value) == (
        "CAPTURE='mail' is none of log, store; AUTHORIZATION='IAM' is none of AWS_IAM, API_KEY, NONE"
    )
