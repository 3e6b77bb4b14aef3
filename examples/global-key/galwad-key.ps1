# Pause or resume the recording of your own calls, from a key that works in every program.
#
#   powershell -File galwad-key.ps1 pause
#   powershell -File galwad-key.ps1 resume
#
# The folder %APPDATA%\galwad has two files: server.txt with the desk's address, such as
# https://galwad.example, and token.txt with your token, which Windows has encrypted for you.
# The exit status is 0 only if the recording has the state that you asked for. See docs/global-key.md.

param([Parameter(Mandatory = $true)][ValidateSet('pause', 'resume')][string]$Action)

$ErrorActionPreference = 'Stop'
Add-Type -AssemblyName System.Windows.Forms, System.Drawing

function Show-State([string]$Text) {
    $icon = New-Object System.Windows.Forms.NotifyIcon
    $icon.Icon = [System.Drawing.SystemIcons]::Information
    $icon.Visible = $true
    $icon.ShowBalloonTip(4000, 'Galwad', $Text, [System.Windows.Forms.ToolTipIcon]::Info)
    Start-Sleep -Seconds 4
    $icon.Dispose()
}

function Stop-WithError([string]$Text) {
    $title = if ($Action -eq 'pause') { 'NOT PAUSED. Take no card details.' } else { 'NOT RESUMED.' }
    [System.Media.SystemSounds]::Hand.Play()
    $onTop = [System.Windows.Forms.MessageBoxOptions]::DefaultDesktopOnly
    [void][System.Windows.Forms.MessageBox]::Show(
        $Text, $title, 'OK', 'Error', 'Button1', $onTop)
    exit 1
}

try {
    $folder = Join-Path $env:APPDATA 'galwad'
    $server = (Get-Content (Join-Path $folder 'server.txt') -TotalCount 1).Trim().TrimEnd('/')
    if ($server -notmatch '^https://') { throw 'The address in server.txt must begin with https://' }
    $secure = Get-Content (Join-Path $folder 'token.txt') | ConvertTo-SecureString
    $token = (New-Object System.Net.NetworkCredential('', $secure)).Password
    [Net.ServicePointManager]::SecurityProtocol =
        [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12
    $method = if ($Action -eq 'pause') { 'Put' } else { 'Delete' }
    $answer = Invoke-RestMethod -Method $method -Uri "$server/api/v1/payments" -TimeoutSec 10 `
        -Headers @{ Authorization = "Bearer $token" }
}
catch {
    $status = 0
    if ($_.Exception.PSObject.Properties['Response'] -and $_.Exception.Response) {
        $status = [int]$_.Exception.Response.StatusCode
    }
    switch ($status) {
        401 { Stop-WithError 'The token is not valid any more. Make a new one on the page.' }
        404 { Stop-WithError 'You have no answered call.' }
        0 { Stop-WithError "The desk cannot be reached: $($_.Exception.Message)" }
        default { Stop-WithError "The desk answered with the status $status." }
    }
}

$wanted = if ($Action -eq 'pause') { 'paused' } else { 'recording' }
if ($answer.state -eq $wanted) {
    Show-State "Recording: $($answer.state)"
    exit 0
}
if ($answer.state -eq 'paused') { Stop-WithError 'Another pause is still in force. See the page.' }
Stop-WithError "The state is $($answer.state). See the page."
