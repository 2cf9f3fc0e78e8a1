//! Tests of endpoints, keys and the configuration's file.
use std::os::unix::fs::PermissionsExt;

use crate::prelude::*;

#[test]
fn a_failure_of_its_own_has_a_code_of_its_own_and_says_what_to_do() {
    let system = System::start();
    let home = system.home.path();
    let closed = format!("http://localhost:{}", free_port());
    let list = |variables: &[(&str, &str)]| {
        let mut command = bare(home, &["list"]);
        command.envs(variables.iter().copied());
        command
    };
    let (endpoint, key) = (("RUNVOY_ENDPOINT", system.endpoint.as_str()), ("RUNVOY_API_KEY", system.key.as_str()));
    let cases: [(Command, &[&str]); 6] = [
        (list(&[]), &["no endpoint is configured", "runvoy configure"]),
        (list(&[endpoint]), &["no API key", "RUNVOY_API_KEY"]),
        (list(&[endpoint, ("RUNVOY_API_KEY", "wrong-wrong-wrong-wrong-wrong")]), &["runvoy configure"]),
        (list(&[("RUNVOY_ENDPOINT", "ftp://x"), key]), &["ftp://x", "https://"]),
        (list(&[("RUNVOY_ENDPOINT", &closed), key]), &[&closed, "just run-local"]),
        (system.command(&["run", "-i", "missing:1", "true"]), &["missing:1", "registered images: ubuntu:22.04"]),
    ];
    for (mut command, words) in cases {
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(output.stdout.is_empty() && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_configuration_is_written_for_its_owner_only_and_keeps_what_else_it_has() {
    let system = System::start();
    let home = system.home.path();
    std::fs::create_dir(home.join(".runvoy")).unwrap();
    let file = home.join(".runvoy/config.yaml");
    std::fs::write(&file, "# mine\nweb_url: https://web.example.com\n").unwrap();
    let configured = bare(home, &["configure", "--endpoint", &format!("{}/", system.endpoint)])
        .env("RUNVOY_API_KEY", &system.key)
        .output()
        .unwrap();
    assert!(text(&configured.stderr).contains("admin@runvoy.local, admin"), "{}", text(&configured.stderr));
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(
        written.starts_with("# mine\nweb_url: https://web.example.com\n") && written.contains(&system.key),
        "{written}"
    );
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let who = bare(home, &["whoami"]).output().unwrap();
    assert!(text(&who.stdout).starts_with("admin@runvoy.local, admin at "), "{}", text(&who.stderr));

    let link = system.prints(&["users", "create", "new@example.com", "--role", "viewer"]);
    let claimed = bare(home, &["claim", link.trim()]).output().unwrap();
    assert!(text(&claimed.stderr).contains("new@example.com"), "{}", text(&claimed.stderr));
    let who = bare(home, &["whoami"]).output().unwrap();
    assert!(text(&who.stdout).starts_with("admin@runvoy.local, admin at "), "the configuration stays");
    for arguments in
        [&["whoami", "--profile", "new@example.com"][..], &["config", "use", "new@example.com"], &["whoami"]]
    {
        let who = bare(home, arguments).output().unwrap();
        assert!(who.status.success(), "{arguments:?}: {}", text(&who.stderr));
        assert!(arguments[0] != "whoami" || text(&who.stdout).starts_with("new@example.com, viewer at "));
    }
    let refused = bare(home, &["claim", link.trim()]).output().unwrap();
    assert_eq!(refused.status.code(), Some(125));
}

#[test]
fn without_a_terminal_configure_names_what_it_takes() {
    let system = System::start();
    let configure = ["configure", "--endpoint", &system.endpoint];
    let output = bare(system.home.path(), &configure).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(125));
    assert!(said.contains("give the key in RUNVOY_API_KEY") && !said.contains("--value-file"), "{said}");
    let output = bare(system.home.path(), &configure).env("RUNVOY_API_KEY", &system.key).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_local_system_of_this_folder_or_one_above_needs_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { data_dir: Some(folder.path().join(".runvoy-local")), ..Settings::ephemeral() };
    let _system = System::start_with(settings);
    let below = folder.path().join("some/where");
    std::fs::create_dir_all(&below).unwrap();
    let output = bare(folder.path(), &["run", "echo hello"]).current_dir(&below).output().unwrap();
    assert_eq!(text(&output.stdout), "hello\n", "{}", text(&output.stderr));
}

#[test]
fn the_nearest_system_is_used_and_named_where_there_are_several() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { data_dir: Some(folder.path().join(".runvoy-local")), ..Settings::ephemeral() };
    let near = System::start_with(settings);
    let far = System::start();
    let home = far.home.path();
    let configured = bare(home, &["configure", "--endpoint", &far.endpoint]).env("RUNVOY_API_KEY", &far.key).status();
    assert!(configured.unwrap().success());
    let near_run = bare(home, &["run", "echo hello"]).current_dir(folder.path()).output().unwrap();
    let said = text(&near_run.stderr);
    assert!(said.contains(&format!(" at {}", near.endpoint)), "{said}");
    let far_run = bare(home, &["run", "echo hello"]).output().unwrap();
    assert!(far_run.status.success() && !text(&far_run.stderr).contains(" at http"), "{}", text(&far_run.stderr));
    // A key goes to its own endpoint only.
    let (elsewhere, heads) = canned(vec![(401, "{}".to_owned())]);
    let other = bare(home, &["list"]).env("RUNVOY_ENDPOINT", elsewhere).output().unwrap();
    assert_eq!(other.status.code(), Some(125));
    assert!(!heads.lock().unwrap()[0].contains("x-api-key"), "{heads:?}");
    let local =
        bare(home, &["whoami"]).current_dir(folder.path()).env("RUNVOY_API_KEY", "of-production").output().unwrap();
    assert!(local.status.success(), "the local system gets its own key: {}", text(&local.stderr));
}

#[test]
fn folders_of_other_users_are_ignored_with_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    for name in [".runvoy-local", ".runvoy"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join(".runvoy-local/api-endpoint"), "http://localhost:1").unwrap();
    std::fs::write(folder.path().join(".runvoy-local/admin-key"), "planted").unwrap();
    std::fs::write(folder.path().join(".runvoy/p.yaml"), "commands: [true]").unwrap();
    for name in [".runvoy-local", ".runvoy"] {
        // Only root can give files away.
        if std::os::unix::fs::chown(folder.path().join(name), Some(12_345), None).is_err() {
            return;
        }
    }
    for (arguments, word) in
        [(&["list"][..], "no endpoint is configured"), (&["playbook", "show", "p"], "there is no playbook")]
    {
        let output = bare(home.path(), arguments).current_dir(folder.path()).output().unwrap();
        let said = text(&output.stderr);
        assert!(said.contains("belongs to another user") && said.contains(word), "{said}");
    }
}

#[test]
fn a_folder_that_came_with_a_repository_does_not_choose_where_commands_go() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let local = folder.path().join(".runvoy-local");
    std::fs::create_dir(&local).unwrap();
    std::fs::write(local.join("admin-key"), "planted-planted-planted-planted").unwrap();
    let (elsewhere, heads) = canned(vec![(200, "[]".to_owned())]);
    let list = |endpoint: &str, mode: u32| {
        std::fs::write(local.join("api-endpoint"), endpoint).unwrap();
        std::fs::set_permissions(&local, std::fs::Permissions::from_mode(mode)).unwrap();
        bare(home.path(), &["list"]).current_dir(folder.path()).output().unwrap()
    };
    for (endpoint, mode, reason) in [
        (elsewhere.as_str(), 0o755, "0700"),
        (&elsewhere, 0o770, "0700"),
        (&elsewhere, 0o701, "0700"),
        ("https://api.example.invalid", 0o700, "not this machine"),
        ("http://127.0.0.1:1@api.example.invalid", 0o700, "not this machine"),
        ("http://localhost.example.invalid", 0o700, "not this machine"),
        ("https://localhost:1", 0o700, "not this machine"),
        ("nonsense", 0o700, "not this machine"),
    ] {
        let refused = list(endpoint, mode);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(125), "{endpoint} {mode:o}: {said}");
        assert!(said.contains(reason) && said.contains("is ignored"), "{endpoint} {mode:o}: {said}");
        assert!(said.contains("no endpoint is configured"), "{endpoint} {mode:o}: {said}");
    }
    assert!(heads.lock().unwrap().is_empty(), "nothing is sent");
    let used = list(&elsewhere, 0o700);
    assert!(used.status.success(), "{}", text(&used.stderr));
}

#[test]
fn a_key_of_one_endpoint_is_not_sent_to_the_endpoint_of_a_profile() {
    let home = tempfile::tempdir().unwrap();
    let refusal = || (401, json!({"error": "Unauthorized", "code": "UNAUTHORIZED"}).to_string());
    let (of_profile, heads) = canned((0..20).map(|_| refusal()).collect());
    std::fs::create_dir(home.path().join(".runvoy")).unwrap();
    let file = format!("profiles:\n  nokey:\n    api_endpoint: {of_profile}\n");
    std::fs::write(home.path().join(".runvoy/config.yaml"), file).unwrap();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        heads.lock().unwrap().clear();
        let mut command = bare(home.path(), arguments);
        let output = command.env("RUNVOY_API_KEY", "key-of-another").envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{}", text(&output.stderr));
        let sent = heads.lock().unwrap().iter().any(|head| head.contains("key-of-another"));
        (sent, text(&output.stderr))
    };
    let another = ("RUNVOY_ENDPOINT", "https://another.example.invalid");
    let named = ["list", "--profile", "nokey"];
    let (sent, said) = run(&named, &[another]);
    assert!(!sent, "the key of another endpoint");
    assert!(said.contains("RUNVOY_API_KEY is not sent") && said.contains("RUNVOY_ENDPOINT"), "{said}");
    assert!(said.contains("\"nokey\" has no API key") && !said.contains("key-of-another"), "{said}");
    let (sent, said) = run(&["configure", "--endpoint", &of_profile], &[another]);
    assert!(!sent && said.contains("RUNVOY_API_KEY is not sent"), "{said}");
    // Without an endpoint of its own, or with this one, the key is for the profile that is named.
    assert!(run(&named, &[]).0);
    assert!(run(&named, &[("RUNVOY_ENDPOINT", &format!("{of_profile}/"))]).0);
    assert!(run(&["list"], &[("RUNVOY_PROFILE", "nokey")]).0);
}

#[test]
fn a_key_crosses_a_network_in_the_clear_only_if_that_is_allowed() {
    let home = tempfile::tempdir().unwrap();
    let list = |arguments: &[&str]| {
        let mut command = bare(home.path(), arguments);
        command.env("RUNVOY_ENDPOINT", "http://runvoy.invalid").env("RUNVOY_API_KEY", "k");
        text(&command.output().unwrap().stderr)
    };
    assert!(list(&["list"]).contains("--allow-http"));
    let allowed = list(&["version", "--allow-http"]);
    assert!(allowed.contains("does not answer"), "{allowed}");
}

#[test]
fn both_variables_are_enough_without_a_home_folder() {
    let system = System::start();
    std::fs::write(system.home.path().join("file"), "").unwrap();
    for home in [None, Some("/nonexistent"), Some("file"), Some("")] {
        let mut command = system.command(&["run", "echo hello"]);
        command.env_remove("HOME");
        if let Some(home) = home {
            command.env("HOME", home);
        }
        let output = command.output().unwrap();
        assert_eq!(text(&output.stdout), "hello\n", "{home:?}: {}", text(&output.stderr));
    }
    let broken = system.home.path().join(".runvoy");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("config.yaml"), "{{{ api_key: hush").unwrap();
    assert_eq!(system.prints(&["run", "echo hello"]), "hello\n");
}

#[test]
fn a_broken_file_is_written_anew_and_a_link_stays_a_link() {
    let system = System::start();
    let home = system.home.path();
    std::fs::create_dir(home.join(".runvoy")).unwrap();
    std::fs::create_dir(home.join("dotfiles")).unwrap();
    let (file, real) = (home.join(".runvoy/config.yaml"), home.join("dotfiles/runvoy.yaml"));
    std::fs::write(&real, "api_key: [hush\n").unwrap();
    std::os::unix::fs::symlink(&real, &file).unwrap();
    let broken = bare(home, &["whoami"]).output().unwrap();
    assert!(text(&broken.stderr).contains("is not valid") && !text(&broken.stderr).contains("hush"));
    let configured =
        bare(home, &["configure", "--endpoint", &system.endpoint]).env("RUNVOY_API_KEY", &system.key).output().unwrap();
    assert!(configured.status.success(), "{}", text(&configured.stderr));
    assert!(bare(home, &["whoami"]).output().unwrap().status.success());
    assert!(file.is_symlink() && std::fs::read_to_string(&real).unwrap().contains(&system.key));
    assert_eq!(std::fs::read_to_string(home.join(".runvoy/config.yaml.broken")).unwrap(), "api_key: [hush\n");
    // A byte order mark is no part of the file.
    let text_of_file = std::fs::read_to_string(&real).unwrap();
    std::fs::write(&real, format!("\u{feff}{text_of_file}")).unwrap();
    assert!(bare(home, &["whoami"]).output().unwrap().status.success());
}

#[test]
fn a_key_with_a_line_end_is_taken_or_refused_at_once() {
    let system = System::start();
    let list = |key: &str| system.command(&["list"]).env("RUNVOY_API_KEY", key).output().unwrap();
    assert!(list(&format!("{}\n", system.key)).status.success());
    let begun = Instant::now();
    let refused = list("secret\nkey");
    assert_eq!(refused.status.code(), Some(125));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let said = text(&refused.stderr);
    assert!(said.contains("line ends") && !said.contains("secret"), "{said}");
}

#[test]
fn a_claim_is_sent_once_and_needs_a_key_in_its_answer() {
    let home = tempfile::tempdir().unwrap();
    let claim = |answers| {
        let (endpoint, heads) = canned(answers);
        let output = bare(home.path(), &["claim", &format!("{endpoint}/claim/token")]).output().unwrap();
        let claims = heads.lock().unwrap().iter().filter(|head| head.contains("/api/v1/claim/")).count();
        (output, claims)
    };
    let health = || (200, json!({"status": "ok", "version": "1", "provider": "AWS", "region": "r"}).to_string());
    let (lost, claims) = claim(vec![health(), (0, String::new()), health()]);
    assert_eq!((lost.status.code(), claims), (Some(125), 1));
    assert!(text(&lost.stderr).contains("ask an admin for a new one"), "{}", text(&lost.stderr));
    let (empty, _) = claim(vec![health(), (200, json!({"user_email": "a@b.c"}).to_string())]);
    assert_eq!(empty.status.code(), Some(125));
    assert!(!home.path().join(".runvoy/config.yaml").exists());
}

#[test]
fn a_claim_link_whose_page_is_elsewhere_uses_the_configured_api_or_the_given_one() {
    let system = System::start();
    for (number, is_given) in [(1, true), (2, false)] {
        let link = system.prints(&["users", "create", &format!("u{number}@example.com"), "--role", "viewer"]);
        let token = link.trim().rsplit('/').next().unwrap();
        let (page, _) = canned(vec![(404, "<html>".to_owned())]);
        let page = format!("{page}/claim/{token}");
        let home = tempfile::tempdir().unwrap();
        let mut command = if is_given {
            bare(home.path(), &["claim", "--endpoint", &system.endpoint, &page])
        } else {
            bare(home.path(), &["claim", &page])
        };
        if !is_given {
            command.env("RUNVOY_ENDPOINT", &system.endpoint);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let who = bare(home.path(), &["whoami"]).output().unwrap();
        assert!(text(&who.stdout).starts_with(&format!("u{number}@example.com, viewer")), "{}", text(&who.stderr));
    }

    // A profile is made by the claim, also by the token alone.
    let link = system.prints(&["users", "create", "ana@example.com", "--role", "viewer"]);
    let output = system.run(&["claim", "--profile", "ana", link.trim().rsplit('/').next().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(system.prints(&["whoami", "--profile", "ana"]).starts_with("ana@example.com, viewer"));
}
