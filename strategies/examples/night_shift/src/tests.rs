//! The shift by the clock, and configs that are none.

use super::*;
use pointsman_guest::testing::{Harness, play_fixtures};

const PROVIDERS: [&str; 3] = ["cloud-a", "gpu-server", "cloud-b"];

fn at(time: (u64, u64)) -> u64 {
    const A_DAY_IN_2026: u64 = 20_500 * 86_400_000;
    A_DAY_IN_2026 + (time.0 * 60 + time.1) * 60_000
}

fn night_shift() -> Harness<NightShift> {
    Harness::with_config(PROVIDERS, r#"{"provider": "gpu-server", "from": "22:00", "until": "06:00"}"#)
}

fn error(config: &str) -> String {
    Harness::<NightShift>::start(PROVIDERS, config).expect_err("the config is wrong")
}

#[test]
fn it_does_what_its_fixtures_say() {
    play_fixtures::<NightShift>("fixtures");
}

#[test]
fn goes_first_during_its_shift() {
    let mut strategy = night_shift();
    for time in [(22, 0), (23, 59), (0, 0), (5, 59)] {
        strategy.request.now_ms = at(time);
        assert_eq!(strategy.route()[0], "gpu-server", "{time:?}");
        assert_eq!(strategy.reason(), Some(ON_SHIFT));
    }
}

#[test]
fn is_kept_for_last_otherwise() {
    let mut strategy = night_shift();
    for time in [(6, 0), (12, 0), (21, 59)] {
        strategy.request.now_ms = at(time);
        assert_eq!(strategy.route()[2], "gpu-server", "{time:?}");
        assert_eq!(strategy.reason(), Some(OFF_SHIFT));
    }
}

#[test]
fn the_others_take_turns() {
    let mut strategy = night_shift();
    strategy.request.now_ms = at((12, 0));
    strategy.assert_share("cloud-a", 0.5, 0.0, 600);
}

#[test]
fn its_absence_is_no_obstacle() {
    let mut strategy = night_shift();
    strategy.offer(["cloud-a", "cloud-b"]);
    assert_eq!(strategy.route(), ["cloud-a", "cloud-b"]);
    assert_eq!(strategy.reason(), Some(ABSENT));
}

#[test]
fn a_shift_may_lie_within_one_day() {
    let config = r#"{"provider": "cloud-b", "from": "09:00", "until": "17:30"}"#;
    let mut strategy = Harness::<NightShift>::with_config(PROVIDERS, config);
    strategy.request.now_ms = at((17, 29));
    assert_eq!(strategy.route()[0], "cloud-b");
    strategy.request.now_ms = at((17, 30));
    assert_eq!(strategy.route()[2], "cloud-b");
}

#[test]
fn a_wrong_config_is_explained() {
    assert_eq!(
        error(r#"{"provider": "gpu", "from": "22:00", "until": "06:00"}"#),
        "config.provider: no target is named `gpu`; there are: cloud-a, gpu-server, cloud-b"
    );
    for time in ["24:00", "6:00", "22:60", "+1:00", "ten", "22"] {
        assert_eq!(
            error(&format!(r#"{{"provider": "gpu-server", "from": "{time}", "until": "06:00"}}"#)),
            format!("config.from: `{time}` is not a time of day; write it as \"HH:MM\", up to \"23:59\"")
        );
    }
    assert_eq!(
        error(r#"{"provider": "gpu-server", "from": "06:00", "until": "06:00"}"#),
        "config: a shift from 06:00 until 06:00 has no length"
    );
    assert_eq!(error("{}"), "config: missing field `provider`");
    assert_eq!(
        error(r#"{"providers": "gpu-server"}"#),
        "config.providers: unknown field `providers`, expected one of `provider`, `from`, `until`"
    );
}
