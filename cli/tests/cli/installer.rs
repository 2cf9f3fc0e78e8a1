//! Runs the installer of releases, against a server with the files of one.

use std::{collections::BTreeMap, net::TcpListener};

use crate::prelude::*;

const INSTALLER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/install.sh");

/// A server with these files. Answers with its address.
fn serve(files: BTreeMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read_exact(&mut byte).is_ok() {
                head.extend(byte);
            }
            let head = text(&head);
            let file = head.split(' ').nth(1).and_then(|path| files.get(path.trim_start_matches('/')));
            let (status, body) = file.map_or(("404 Not Found", &[][..]), |file| ("200 OK", file));
            let _ = write!(client, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = client.write_all(body);
        }
    });
    address
}

/// The output of a program that must succeed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn have(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[test]
fn a_release_is_installed_if_its_checksum_is_right_and_nothing_otherwise() {
    if !have("curl") && !have("wget") {
        println!("SKIPPED: there is neither curl nor wget");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x86_64",
        _ => "aarch64",
    };
    let system = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-musl" };
    let name = format!("runvoy-{machine}-{system}");
    let folder = home.path().join(&name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("runvoy"), "#!/bin/sh\necho runvoy 9.9.9\n").unwrap();
    output(Command::new("chmod").arg("755").arg(folder.join("runvoy")));
    let archive = format!("{name}.tar.gz");
    output(Command::new("tar").current_dir(home.path()).args(["-czf", &archive, &name]));
    let sum = if have("sha256sum") { vec!["sha256sum"] } else { vec!["shasum", "-a", "256"] };
    let sums = output(Command::new(sum[0]).args(&sum[1..]).arg(&archive).current_dir(home.path()));
    let good = std::fs::read(home.path().join(&archive)).unwrap();
    let release = |archive_file: Option<&[u8]>, sums: &str| {
        let mut files = BTreeMap::from([("SHA256SUMS".to_owned(), sums.as_bytes().to_vec())]);
        files.extend(archive_file.map(|file| (archive.clone(), file.to_vec())));
        serve(files)
    };
    let install = |url: &str, into: &Path| {
        let mut command = Command::new("sh");
        command.arg(INSTALLER).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("RUNVOY_DOWNLOAD_URL", url).env("RUNVOY_INSTALL_DIR", into).env("HOME", home.path());
        command.output().unwrap()
    };
    let into = home.path().join("a folder/bin");
    let bad = [good.as_slice(), b"x"].concat();
    for (url, reason) in [
        (release(Some(&bad), &sums), "another checksum"),
        (release(Some(&good), "0  other.tar.gz\n"), "does not name"),
        (release(None, &sums), "cannot be downloaded"),
    ] {
        let refused = install(&url, &into);
        assert!(!refused.status.success() && text(&refused.stderr).contains(reason), "{}", text(&refused.stderr));
        assert!(!into.exists(), "{reason}");
    }
    let url = release(Some(&good), &sums);
    for _ in 0..2 {
        let installed = install(&url, &into);
        let said = text(&installed.stdout);
        assert!(installed.status.success(), "{}", text(&installed.stderr));
        assert!(said.starts_with("runvoy 9.9.9 is installed: ") && said.contains("not in your PATH"), "{said}");
    }
    assert_eq!(output(&mut Command::new(into.join("runvoy"))), "runvoy 9.9.9\n");
    assert_eq!(std::fs::read_dir(&into).unwrap().count(), 1, "no half file is left");
}
