//! A deterministic simulation of everything that moves lines and states: the real handlers on the emulated AWS, on virtual
//! time. Calls fail or kill their handler. Deliveries come late, twice, in another order or not at all. Viewers connect,
//! read slowly, and leave. Runs hold locks, wait in line for them and for capacity, and are attempted again.
//!
//! A seed decides all of that, so a seed that breaks the promise is printed and can be replayed exactly.
//!
//! `SEEDS=0..10000 cargo test --release -p local-shim --test simulation for_all_seeds -- --nocapture` runs more seeds of both kinds, and
//! `SEEDS=4711` prints what happens in one.

#![allow(unreachable_pub, reason = "no crate uses a test program")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod clock;
#[path = "../common/mod.rs"]
mod common;
mod invocation;
mod planted;
mod random;
mod scenario;
mod units;
mod world;

use std::{
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use planted::Planted;
use scenario::Outcome;

/// The seeds that run when `SEEDS` is not set.
const SEEDS: Range<u64> = 0..190;
/// The seeds of the simulation of locks that run when `SEEDS` is not set.
const LOCK_SEEDS: Range<u64> = 0..20;

fn wanted(otherwise: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else { return otherwise };
    let number = |text: &str| text.trim().parse::<u64>().expect("SEEDS is a number or a range such as 0..10000");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    }
}

/// Plays one seed.
type Play = fn(u64, Option<Planted>) -> Outcome;

/// Runs these seeds, or one in `step` of them, on all cores, until one breaks the promise.
fn first_broken(play: Play, seeds: Range<u64>, step: u64, planted: Option<Planted>) -> Option<(u64, Outcome)> {
    let next = AtomicU64::new(seeds.start);
    let broken: Mutex<Option<(u64, Outcome)>> = Mutex::new(None);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(step, Ordering::Relaxed);
                    if seed >= seeds.end || broken.lock().unwrap().is_some() {
                        return;
                    }
                    let outcome = play(seed, planted);
                    let done = seed - seeds.start;
                    if done > 0 && done.is_multiple_of(1000) {
                        println!("{done} seeds in {:.0} s", started.elapsed().as_secs_f64());
                    }
                    if !outcome.violations.is_empty() {
                        broken.lock().unwrap().get_or_insert((seed, outcome));
                    }
                }
            });
        }
    });
    broken.into_inner().unwrap()
}

#[test]
fn the_promise_holds_for_all_seeds() {
    holds_for(scenario::run, wanted(SEEDS));
}

#[test]
fn a_lock_has_no_more_holders_than_slots_and_goes_to_the_first_in_line_for_all_seeds() {
    holds_for(scenario::run_locks, wanted(LOCK_SEEDS));
}

/// Plays these seeds, and tells the story of one that breaks the promise, or of one that is wanted alone.
fn holds_for(play: Play, seeds: Range<u64>) {
    let (first, alone) = (seeds.start, seeds.end - seeds.start == 1);
    if let Some((seed, outcome)) = first_broken(play, seeds, 1, None) {
        for line in &outcome.story {
            println!("{line}");
        }
        panic!("seed {seed} breaks the promise: {:#?}\nSEEDS={seed} tells it again", outcome.violations);
    }
    if alone {
        for line in play(first, None).story {
            println!("{line}");
        }
    }
}

/// `FilterLogEvents` may be called 5 times a second, and 10 invocations may run at the same time.
#[test]
fn a_hundred_tasks_that_end_together_have_complete_logs_within_a_minute() {
    for seed in 0..2 {
        let outcome = scenario::run_crowd(seed);
        println!("{}", outcome.story.iter().find(|line| line.contains("reads of CloudWatch")).unwrap());
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
    }
}

#[test]
fn viewers_that_never_read_fail_no_batch_and_delay_no_other_viewer() {
    let outcome = scenario::run_stuck(0);
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
}

/// Each call takes 4 ms, and each key has DynamoDB's quota. `VIEWERS=100` runs fewer.
#[test]
fn many_viewers_of_one_log_have_each_line_once_and_soon_for_three_writes_a_batch() {
    let viewers = std::env::var("VIEWERS").map_or(1000, |viewers| viewers.parse().expect("VIEWERS is a number"));
    let outcome = scenario::run_audience(1, viewers);
    for line in outcome.story.iter().filter(|line| line.contains("units")) {
        println!("{line}");
    }
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
}

#[test]
fn viewers_who_connect_at_once_after_the_end_have_the_log_compared_once() {
    let outcome = scenario::run_cohort();
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
}

#[test]
fn a_lease_of_an_invocation_that_died_holds_up_no_other_event_and_is_taken_when_it_ends() {
    let outcome = scenario::run_dead_leases();
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
}

/// The order and the number of lines must not rest on what AWS does not document.
#[test]
fn a_log_has_each_line_once_where_cloudwatch_names_lines_otherwise_than_its_subscription() {
    // In calm seeds, the subscription delivers every line.
    let seeds = 0..30 * scenario::CALM;
    if let Some((seed, outcome)) = first_broken(scenario::run, seeds, scenario::CALM, Some(Planted::OtherIds)) {
        panic!("seed {seed}: {:#?}", outcome.violations);
    }
}

/// Calls that do not depend on each other are made at once.
#[test]
fn a_request_waits_for_as_few_calls_in_a_row_as_it_can() {
    let taken = scenario::round_trips();
    let calls = |name: &str| taken[name] / scenario::CALL;
    let expected = [
        ("health", 0),
        ("status", 1),
        ("list", 1),
        ("logs", 1),
        ("me", 1),
        ("run", 3),
        // ECS does not know a task definition with these secrets, so it is registered and the task is started again.
        ("first run with secrets", 6),
        // The audit has the use of the secrets before the task has their values.
        ("run with secrets", 4),
    ];
    let found: Vec<(&str, u64)> = expected.iter().map(|(name, _)| (*name, calls(name))).collect();
    assert_eq!(found, expected);
}

/// Each call takes 4 ms, and each key has DynamoDB's quota. `just bench-scale` lets each run print more, with `SCALE=1000,10000,10`: runs,
/// lines of each, and one viewer for so many runs.
#[test]
fn a_thousand_runs_at_the_same_time_meet_no_quota() {
    let given = std::env::var("SCALE").ok();
    let numbers: Vec<u64> =
        given.as_deref().unwrap_or("1000,2,10").split(',').map(|number| number.trim().parse().unwrap()).collect();
    let scale = scenario::scale::Scale { runs: numbers[0], lines: numbers[1], watched: numbers[2] };
    let started = Instant::now();
    let seen = scenario::scale::run(scale);
    println!("{}", seen.table(scale, started));
    assert!(seen.violations.is_empty(), "{:#?}", seen.violations);
    let watched = scale.runs.div_ceil(scale.watched);
    assert!(seen.delays.len() as u64 >= watched * scale.lines, "{} lines were seen", seen.delays.len());
    let (quota, used) = seen.first_quota();
    assert!(used < 0.9, "{quota}: {used}");
}

#[test]
fn a_seed_tells_the_same_story_again() {
    for seed in [1, 2, 3] {
        assert_eq!(scenario::run(seed, None).story, scenario::run(seed, None).story, "seed {seed}");
    }
}

/// Each planted fault must be found, or the simulation is not worth its time.
fn is_found(planted: Planted) {
    // A line that only comes too late is noticed only if nothing else may delay it, which is so in the calm seeds.
    let step = match planted {
        Planted::NoSecondLook | Planted::NewViewerUnnoticed | Planted::OwnerUnnoticed | Planted::ReleasedBlindly => {
            scenario::CALM
        }
        Planted::RepeatForgotten
        | Planted::LeaseIgnored
        | Planted::EndStatesGiveWay
        | Planted::NotHandedOver
        | Planted::ProgressForgotten
        | Planted::FanOutLeaseIgnored
        | Planted::PostAbandoned
        | Planted::StragglerUnwritten
        | Planted::SlotUnchecked
        | Planted::ReleaseForgotten
        | Planted::MarkForgotten
        | Planted::CapacityUnwatched
        | Planted::StartLeaseIgnored
        | Planted::OtherIds => 1,
    };
    let play = match planted {
        Planted::SlotUnchecked
        | Planted::ReleaseForgotten
        | Planted::MarkForgotten
        | Planted::CapacityUnwatched
        | Planted::StartLeaseIgnored => scenario::run_locks,
        _ => scenario::run,
    };
    // Near the first seed that finds it, since seeds take a second each and more.
    let first = match planted {
        Planted::ProgressForgotten => 34,
        Planted::MarkForgotten => 18,
        Planted::CapacityUnwatched => 6,
        _ => 0,
    };
    let Some((seed, outcome)) = first_broken(play, first..first + 400 * step, step, Some(planted)) else {
        panic!("{planted:?} was not noticed");
    };
    println!("{planted:?} is noticed by seed {seed}: {:?}", outcome.violations.first());
}

#[test]
fn a_missing_second_look_is_found() {
    is_found(Planted::NoSecondLook);
}

#[test]
fn a_forgotten_repeat_is_found() {
    is_found(Planted::RepeatForgotten);
}

#[test]
fn an_ignored_lease_is_found() {
    is_found(Planted::LeaseIgnored);
}

#[test]
fn a_viewer_who_is_not_noticed_is_found() {
    is_found(Planted::NewViewerUnnoticed);
}

#[test]
fn an_end_state_that_gives_way_is_found() {
    is_found(Planted::EndStatesGiveWay);
}

#[test]
fn a_viewer_who_is_not_handed_over_is_found() {
    is_found(Planted::NotHandedOver);
}

#[test]
fn an_unnoticed_release_of_the_fan_out_is_found() {
    is_found(Planted::OwnerUnnoticed);
}

#[test]
fn an_ignored_lease_of_the_fan_out_is_found() {
    is_found(Planted::FanOutLeaseIgnored);
}

#[test]
fn a_blind_release_of_the_fan_out_is_found() {
    is_found(Planted::ReleasedBlindly);
}

#[test]
fn an_abandoned_post_is_found() {
    is_found(Planted::PostAbandoned);
}

#[test]
fn a_straggler_that_is_not_written_is_found() {
    is_found(Planted::StragglerUnwritten);
}

#[test]
fn forgotten_progress_is_found() {
    is_found(Planted::ProgressForgotten);
}

#[test]
fn a_lock_that_is_taken_without_a_look_at_its_slots_is_found() {
    is_found(Planted::SlotUnchecked);
}

#[test]
fn a_lock_that_is_not_given_back_is_found() {
    is_found(Planted::ReleaseForgotten);
}

#[test]
fn a_second_mark_of_an_attempt_is_found() {
    is_found(Planted::MarkForgotten);
}

#[test]
fn a_run_that_waits_for_capacity_for_ever_is_found() {
    is_found(Planted::CapacityUnwatched);
}

#[test]
fn a_start_beside_that_of_another_invocation_is_found() {
    let starts_twice = |seed: &u64| {
        let outcome = scenario::run_locks(*seed, Some(Planted::StartLeaseIgnored));
        outcome.violations.iter().any(|violation| violation.contains(" starts "))
    };
    // Near the first seed that finds it.
    let seed = (134..534).find(starts_twice).expect("a lease that is ignored is noticed");
    assert_eq!(
        scenario::run_locks(seed, None).violations,
        Vec::<String>::new(),
        "the lease keeps the two of seed {seed} apart"
    );
}
