; F8 pauses the recording of your calls and Shift+F8 resumes it, in every program.
; Put this file beside galwad-key.ps1, and a link to it into the folder that shell:startup opens.
#Requires AutoHotkey v2.0
#SingleInstance Force

F8::Galwad("pause", "NOT PAUSED. Take no card details.")
+F8::Galwad("resume", "NOT RESUMED.")

Galwad(action, failure) {
    command := 'powershell.exe -NoProfile -ExecutionPolicy Bypass -File "' A_ScriptDir '\galwad-key.ps1" ' action
    try {
        status := RunWait(command, , "Hide")
    } catch as problem {
        SoundBeep(880, 600)
        MsgBox(problem.Message, failure, "Iconx 0x1000")
        return
    }
    if status != 0
        SoundBeep(880, 600) ; the script has shown why
}
