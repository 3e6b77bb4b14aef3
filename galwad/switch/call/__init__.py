"""One call, from its INVITE to its end.

`dispatcher.py` takes the SIP events, and `commands.py` the commands of the desk. `switch_call.py`
owns the call: it connects the legs, the recording (`call_recording.py`, `spools.py`), the advisor's
end (`advisor_side.py`), pauses, transfers and the joins of a PBX (`pbx.py`). `checkpoints.py` saves
the state of the call in memory, and `appended_files.py` what a reboot must not destroy.
"""
