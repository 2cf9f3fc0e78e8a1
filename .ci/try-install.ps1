# Runs deploy/install.ps1 against a server with the files of a release, in the PowerShell that runs this.
#
# Usage: .ci/try-install.ps1 PROGRAM      a runvoy.exe, which is what the release installs
param([Parameter(Mandatory = $true)][string]$Program)
$ErrorActionPreference = 'Stop'

$installer = Join-Path (Split-Path -Parent $PSScriptRoot) 'deploy\install.ps1'
$shell = (Get-Process -Id $PID).Path
$name = 'runvoy-x86_64-pc-windows-msvc'
$scratch = Join-Path ([IO.Path]::GetTempPath()) ('try-install-' + [Guid]::NewGuid())
$files = Join-Path $scratch 'v1.2.3'
$into = Join-Path $scratch 'a folder\bin'
New-Item -ItemType Directory -Path $files, (Join-Path $scratch $name) | Out-Null
Copy-Item -LiteralPath $Program -Destination (Join-Path $scratch "$name\runvoy.exe")
$archive = Join-Path $files "$name.zip"
Compress-Archive -Path (Join-Path $scratch $name) -DestinationPath $archive
$good = (Get-FileHash -LiteralPath $archive -Algorithm SHA256).Hash.ToLower()
$sums = Join-Path $files 'SHA256SUMS'

$listener = [Net.Sockets.TcpListener]::new([Net.IPAddress]::Loopback, 0)
$listener.Start()
$port = $listener.LocalEndpoint.Port
$listener.Stop()
$server = Start-Process python -PassThru -WindowStyle Hidden -ArgumentList '-m', 'http.server', '--bind', '127.0.0.1', '--directory', "`"$scratch`"", $port
$url = "http://127.0.0.1:$port/v1.2.3"

# The exit code and all that the installer says, without blanks.
function Invoke-Installer([string[]]$Arguments) {
    $out = Join-Path $scratch 'out'
    $err = Join-Path $scratch 'err'
    $arguments = @('-NoProfile', '-ExecutionPolicy', 'Bypass') + $Arguments
    $ran = Start-Process $shell -Wait -PassThru -NoNewWindow -ArgumentList $arguments -RedirectStandardOutput $out -RedirectStandardError $err
    # PowerShell colours a message, and breaks it into lines of any width, in the middle of a word.
    $said = (Get-Content -LiteralPath $out, $err -Raw) -join ' '
    $said = $said -replace "$([char]27)\[[0-9;]*m", '' -replace '[\s|]+', ''
    @{ Code = $ran.ExitCode; Said = $said }
}

function Assert([bool]$Holds, [string]$What) {
    if (-not $Holds) { throw "failed: $What" }
    Write-Output "ok: $What"
}

try {
    foreach ($try in 1..50) {
        try { Invoke-WebRequest -UseBasicParsing -Uri "http://127.0.0.1:$port/" | Out-Null; break }
        catch { Start-Sleep -Milliseconds 200 }
    }
    $from = @('-File', "`"$installer`"", '-InstallDir', "`"$into`"", '-DownloadUrl')

    Set-Content -LiteralPath $sums -Value "$('0' * 64)  $name.zip"
    $ran = Invoke-Installer ($from + $url)
    Assert ($ran.Code -ne 0 -and $ran.Said -match 'anotherchecksum') 'an archive with another checksum is refused'
    Set-Content -LiteralPath $sums -Value "$good  other.zip"
    $ran = Invoke-Installer ($from + $url)
    Assert ($ran.Code -ne 0 -and $ran.Said -match 'doesnotname') 'an archive without a checksum is refused'
    $ran = Invoke-Installer ($from + "$url/none")
    Assert ($ran.Code -ne 0 -and $ran.Said -match 'cannotbedownloaded') 'a file that is not there is told'
    $ran = Invoke-Installer ($from + $url + @('-Version', 'newest'))
    Assert ($ran.Code -ne 0 -and $ran.Said -match 'isnoversion') 'a text that is no version is refused'
    Assert (-not (Test-Path -LiteralPath $into)) 'nothing was installed by any of these'

    Set-Content -LiteralPath $sums -Value "$('0' * 64)  other.zip", "$good  $name.zip"
    foreach ($time in 'once', 'once more') {
        $ran = Invoke-Installer ($from + "http://127.0.0.1:$port/v9.9.9" + @('-Version', '1.2.3'))
        Assert ($ran.Code -eq 0 -and $ran.Said -match 'isinstalled' -and $ran.Said -match 'notinyourPATH') "the version that is named is installed $time"
    }
    Assert ((& (Join-Path $into 'runvoy.exe') --version) -match '^runvoy ') 'the program runs'
    Assert (@(Get-ChildItem -LiteralPath $into -Force).Count -eq 1) 'no half file is left'

    # As users do it: the file of the release, with its place in it.
    (Get-Content -LiteralPath $installer -Raw).Replace('@DOWNLOAD_URL@', $url) | Set-Content -LiteralPath (Join-Path $files 'install.ps1')
    $env:RUNVOY_INSTALL_DIR = Join-Path $scratch 'piped'
    $ran = Invoke-Installer @('-Command', "`"irm $url/install.ps1 | iex`"")
    Assert ($ran.Code -eq 0 -and (Test-Path -LiteralPath (Join-Path $env:RUNVOY_INSTALL_DIR 'runvoy.exe'))) 'the script installs where it is read by iex'
}
finally {
    Stop-Process -Id $server.Id
    Remove-Item -LiteralPath $scratch -Recurse -Force -ErrorAction SilentlyContinue
}
