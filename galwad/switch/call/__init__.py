"""One call, from its INVITE to its end.

`dispatcher.py` takes each SIP event, and `commands.py` each command of the desk. `switch_call.py`
owns the call: it connects the legs, the recording (`call_recording.py`), the advisor's end
(`advisor_side.py`), pauses, transfers and the joins of a PBX. `checkpoints.py` saves its state.
"""
