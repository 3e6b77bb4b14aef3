import pytest

from galwad.switch.call import is_handover
from recording.policy import DestinationClass


@pytest.mark.parametrize("destination", list(DestinationClass))
def test_another_name_in_mid_call_is_a_handover(destination):
    assert is_handover("201", destination)


@pytest.mark.parametrize(
    ("destination", "handover"),
    [
        (DestinationClass.CENTRE, False),
        (DestinationClass.UNKNOWN, False),
        (DestinationClass.DEPARTMENT, True),
        (DestinationClass.EXTERNAL, True),
        (DestinationClass.PAYMENT, True),
    ],
)
def test_the_first_name_is_a_handover_only_where_it_lies_outside_the_centre(destination, handover):
    assert is_handover("", destination) is handover
