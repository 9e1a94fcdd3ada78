//! From the config to rules that hold against the targets of the route; all mistakes at once.

use pointsman_guest::Setup;

use crate::clock::Clock;
use crate::document::Value;
use crate::ranking::Ranking;
use crate::reader::{At, Reader, Section};
use crate::targets::Chosen;
use crate::when::When;
use crate::{Rule, Rules};

const KEYS: [&str; 3] = ["rules", "otherwise", "utc_offset"];
const RULE_KEYS: [&str; 7] = ["when", "prefer", "only", "never", "then", "continue", "reason"];

/// A rule for each of a thousand clients belongs into a strategy of its own.
const MOST_RULES: usize = 500;
/// The length to which a reason is shown.
const REASON_CHARS: usize = 160;

pub(crate) fn read(setup: &Setup, config: &Value) -> Result<Rules, String> {
    let mut reader = Reader::default();
    let rules = all(&mut reader, setup, config);
    reader.verdict()?;
    rules.ok_or_else(|| "config: cannot be read".to_owned())
}

/// `None` only after a problem.
fn all(reader: &mut Reader, setup: &Setup, config: &Value) -> Option<Rules> {
    let top = reader.section(&At { path: "config".to_owned(), value: config }, &KEYS)?;
    let clock = top.get("utc_offset").map_or(Some(Clock::default()), |at| Clock::read(reader, &at));
    let otherwise = top.get("otherwise").and_then(|at| Ranking::read(reader, &at, setup)).unwrap_or(Ranking::Weighted);
    let Some(list) = top.get("rules") else {
        reader.problem(
            "config.rules",
            "is required: a list of rules, such as `[{when: {streaming: true}, prefer: [a]}]`",
        );
        return None;
    };
    let Value::List(items) = list.value else { return reader.not(&list, "a list of rules") };
    if items.len() > MOST_RULES {
        reader.problem(&list.path, format!("has {} rules: {MOST_RULES} are the most", items.len()));
        return None;
    }
    let mut rules = Vec::new();
    // The rule after which nothing is gone through.
    let mut last = None;
    for (place, at) in reader.several(&list).into_iter().enumerate() {
        if let Some(last) = last {
            let why = format!("is never reached: rules[{last}] has no `when` and decides every request");
            reader.problem(&at.path, why);
        }
        let Some(rule) = rule(reader, &at, place, setup, &otherwise) else { continue };
        if last.is_none() && rule.when.is_always() && !rule.continues {
            last = Some(place);
        }
        rules.push(rule);
    }
    Some(Rules { rules, otherwise, clock: clock? })
}

fn rule(reader: &mut Reader, at: &At<'_>, place: usize, setup: &Setup, otherwise: &Ranking) -> Option<Rule> {
    let section = reader.section(at, &RULE_KEYS)?;
    let when = section.get("when").map(|at| When::read(reader, &at, setup)).unwrap_or_default();
    let says = |key| section.get(key).is_some();
    let mut chosen = |key| section.get(key).and_then(|at| Chosen::read(reader, &at, setup));
    let (only, never, prefer) = (chosen("only"), chosen("never"), chosen("prefer"));
    let then = section.get("then");
    let continues = section.get("continue").and_then(|at| reader.flag(&at)).unwrap_or(false);
    let excludes = says("only") || says("never");
    if !excludes && !says("prefer") && !says("then") {
        reader.problem(&at.path, "does nothing: it needs `prefer`, `only`, `never` or `then`");
    }
    if continues && (says("prefer") || says("then") || !excludes) {
        let path = format!("{}.continue", at.path);
        reader.problem(
            &path,
            "is for a rule with nothing but `only` or `never`: what is preferred says the rule that decides",
        );
    }
    let ranking = then.as_ref().and_then(|at| Ranking::read(reader, at, setup)).unwrap_or_else(|| otherwise.clone());
    let rule = Rule {
        then: ranking.within(&[&prefer, &only], setup),
        when,
        only,
        never,
        prefer,
        continues,
        text: format!("rules[{place}]: {}", reason(reader, &section)),
    };
    let is_left = |(index, _)| rule.allows(index);
    let sound = rule.only.is_some() == says("only") && rule.never.is_some() == says("never");
    if excludes && sound && !(0..).zip(setup.targets()).any(is_left) {
        reader.problem(&at.path, "leaves no target that could be tried");
    }
    Some(rule)
}

/// The author's text, or a text about what the rule does and when.
fn reason(reader: &mut Reader, section: &Section<'_>) -> String {
    let text = match section.get("reason") {
        Some(at) => reader.text(&at).unwrap_or_default().to_owned(),
        None => {
            let part = |key: &str| section.get(key).map(|at| format!("{key} {}", at.value));
            let does: Vec<_> = ["only", "never", "prefer", "then"].into_iter().filter_map(part).collect();
            let when = section.get("when").map_or_else(String::new, |at| format!(" when {}", at.value));
            format!("{}{when}", does.join(", "))
        }
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(REASON_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
