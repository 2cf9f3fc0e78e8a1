# Installs the command line of a release on Windows: downloads the archive, compares its checksum, and puts the program into a folder.
#
# Usage: irm URL/install.ps1 | iex                           URL is that of the release's files
#        .\install.ps1 [-InstallDir FOLDER] [-Version 1.2.3] [-DownloadUrl URL]
#
# -InstallDir  or RUNVOY_INSTALL_DIR     the folder of the program; %USERPROFILE%\.local\bin if it is not set
# -Version     or RUNVOY_VERSION         another version than that of this file, such as 1.2.3
# -DownloadUrl or RUNVOY_DOWNLOAD_URL    another place with the same files, such as a mirror
param(
    [string]$InstallDir = $env:RUNVOY_INSTALL_DIR,
    [string]$Version = $env:RUNVOY_VERSION,
    [string]$DownloadUrl = $env:RUNVOY_DOWNLOAD_URL
)

# In a function, so that its settings end with it where the script is read by iex.
function Install-Runvoy([string]$InstallDir, [string]$Version, [string]$DownloadUrl) {
    $ErrorActionPreference = 'Stop'
    # Windows PowerShell draws the progress of a download more slowly than it downloads.
    $ProgressPreference = 'SilentlyContinue'

    if ($PSVersionTable.PSVersion.Major -ge 6 -and -not $IsWindows) { throw 'install: this is for Windows; elsewhere take install.sh' }
    # Windows runs the program on ARM64, too.
    if (-not [Environment]::Is64BitOperatingSystem) { throw 'install: there is no archive for 32-bit Windows' }
    if (-not $InstallDir) { $InstallDir = Join-Path $HOME '.local\bin' }
    if (-not $DownloadUrl) { $DownloadUrl = '@DOWNLOAD_URL@' }
    if ($Version) {
        if ($Version -notmatch '^\d+\.\d+\.\d+$') { throw "install: '$Version' is no version: give three numbers such as 1.2.3" }
        $DownloadUrl = $DownloadUrl -replace '/[^/]*$', "/v$Version"
    }
    # Windows PowerShell may not offer it by itself.
    [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12

    $name = 'runvoy-x86_64-pc-windows-msvc'
    $scratch = Join-Path ([IO.Path]::GetTempPath()) ('runvoy-' + [Guid]::NewGuid())
    New-Item -ItemType Directory -Path $scratch | Out-Null
    try {
        foreach ($file in "$name.zip", 'SHA256SUMS') {
            try { Invoke-WebRequest -UseBasicParsing -Uri "$DownloadUrl/$file" -OutFile (Join-Path $scratch $file) }
            catch { throw "install: $DownloadUrl/$file cannot be downloaded: $($_.Exception.Message)" }
        }
        $archive = Join-Path $scratch "$name.zip"
        # Each line is a checksum, two blanks and a name.
        $line = Get-Content -LiteralPath (Join-Path $scratch 'SHA256SUMS') | Where-Object { ($_ -split '\s+', 2)[1] -eq "$name.zip" }
        if (-not $line) { throw "install: $DownloadUrl/SHA256SUMS does not name $name.zip" }
        $expected = ($line -split '\s+', 2)[0]
        $actual = (Get-FileHash -LiteralPath $archive -Algorithm SHA256).Hash
        if ($actual -ne $expected) { throw "install: $name.zip has another checksum than SHA256SUMS says: nothing was installed" }

        Expand-Archive -LiteralPath $archive -DestinationPath $scratch
        $unpacked = Join-Path (Join-Path $scratch $name) 'runvoy.exe'
        $said = & $unpacked --version
        if ($LASTEXITCODE -ne 0) { throw 'install: the program does not run on this machine: nothing was installed' }

        New-Item -ItemType Directory -Path $InstallDir -Force | Out-Null
        $InstallDir = (Resolve-Path -LiteralPath $InstallDir).ProviderPath
        $program = Join-Path $InstallDir 'runvoy.exe'
        $new = Join-Path $InstallDir '.runvoy.new.exe'
        Copy-Item -LiteralPath $unpacked -Destination $new -Force
        # Renamed in its folder, so that there is never half a program. A program that runs can be renamed, and not be overwritten.
        Get-ChildItem -LiteralPath $InstallDir -Filter '.runvoy.old.*.exe' -Force | Remove-Item -Force -ErrorAction SilentlyContinue
        $old = $null
        if (Test-Path -LiteralPath $program) {
            $old = Join-Path $InstallDir ".runvoy.old.$([Guid]::NewGuid()).exe"
            Move-Item -LiteralPath $program -Destination $old
        }
        try { Move-Item -LiteralPath $new -Destination $program }
        catch {
            if ($old) { Move-Item -LiteralPath $old -Destination $program }
            throw
        }
        # The next installation removes one that still runs.
        if ($old) { Remove-Item -LiteralPath $old -Force -ErrorAction SilentlyContinue }
        Write-Output "$said is installed: $program"
        if (($env:Path -split ';') -notcontains $InstallDir) {
            Write-Output 'The folder is not in your PATH. Add it, and open a new terminal:'
            Write-Output "  [Environment]::SetEnvironmentVariable('Path', '$InstallDir;' + [Environment]::GetEnvironmentVariable('Path', 'User'), 'User')"
        }
    }
    finally {
        Remove-Item -LiteralPath $scratch -Recurse -Force -ErrorAction SilentlyContinue
    }
}

Install-Runvoy -InstallDir $InstallDir -Version $Version -DownloadUrl $DownloadUrl
