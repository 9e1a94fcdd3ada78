use super::*;
use crate::Budget;

fn request(messages: &[(&str, &str)]) -> Request {
    let message =
        |(role, text): &(&str, &str)| wit::Message { role: (*role).to_owned(), text: (*text).to_owned(), more: false };
    Request {
        messages: messages.iter().map(message).collect(),
        question: messages.iter().rposition(|(role, _)| *role == "user").map(|index| index as u32),
        model: "model".to_owned(),
        config: "{}".to_owned(),
        n: 1,
        streaming: false,
        entropy: 0,
        now_ms: 0,
        budget: Budget { calls: 64, tokens: u32::MAX, millis: 300_000 },
    }
}

fn turns(call: Call) -> Vec<String> {
    let turn = |turn: &wit::Turn| match turn {
        wit::Turn::Original(index) => format!("{index}"),
        wit::Turn::Rewritten(wit::Rewritten { index, text }) => format!("{index}: {text}"),
        wit::Turn::Answered(id) => format!("#{id}"),
        wit::Turn::Said(wit::Said { role, text }) => format!("{role}: {text}"),
        wit::Turn::Json(json) => json.clone(),
    };
    call.into_wit().messages.iter().map(turn).collect()
}

fn choice(id: u32) -> Choice {
    Choice { id, text: "4".to_owned(), finish: crate::Finish::Stop, tool_calls: 0 }
}

#[test]
fn the_conversation_goes_out_as_it_came() {
    let request = request(&[("system", "Be brief."), ("user", "2+2?")]);
    let call = request.ask().n(3).temperature(1.0).step("candidates").into_wit();
    assert!(matches!(call.messages[..], [wit::Turn::Original(0), wit::Turn::Original(1)]));
    assert_eq!((call.n, call.temperature, call.extra.as_str(), call.step.as_str()), (3, Some(1.0), "{}", "candidates"));
    assert!(matches!(call.manner, Manner::Answer));
    assert!(matches!(request.ask().aside().into_wit().manner, Manner::Aside));
    assert!(matches!(Call::new().user("Hello").into_wit().manner, Manner::Aside));
}

#[test]
fn the_question_is_rewritten_in_its_place() {
    let tools = request(&[("user", "2+2?"), ("assistant", ""), ("tool", "4")]);
    assert_eq!(turns(tools.ask().question("3+3?")), ["0: 3+3?", "1", "2"]);
    assert_eq!(turns(tools.ask().question("3+3?").user("Now?")), ["0: 3+3?", "1", "2", "user: Now?"]);
    assert_eq!(turns(request(&[("system", "Speak.")]).ask().question("2+2?")), ["0", "user: 2+2?"]);
}

#[test]
fn what_the_user_says_after_the_question_stands_in_the_same_message() {
    let request = request(&[("user", "2+2?")]);
    assert_eq!(turns(request.ask().user("Be sure.")), ["0: 2+2?\n\nBe sure."]);
    assert_eq!(turns(request.ask().user("Be sure.").user("Be quick.")), ["0: 2+2?\n\nBe sure.\n\nBe quick."]);
    assert_eq!(turns(request.ask().question("3+3?").user("Be sure.")), ["0: 3+3?\n\nBe sure."]);
    let after = request.ask().after(&choice(7)).user("Is it?").user("Truly?");
    assert_eq!(turns(after), ["0", "#7", "user: Is it?\n\nTruly?"]);
    assert_eq!(turns(request.ask().assistant("5").user("Is it?")), ["0", "assistant: 5", "user: Is it?"]);
}

#[test]
fn a_question_without_text_is_not_separated_from_what_follows() {
    assert_eq!(turns(request(&[("user", "")]).ask().user("What is it?")), ["0: What is it?"]);
}

#[test]
fn instructions_join_the_first_system_message() {
    let with = request(&[("developer", "Be brief."), ("user", "2+2?")]);
    assert_eq!(turns(with.ask().instruct("Think.").instruct("Now.")), ["0: Be brief.\n\nThink.\n\nNow.", "1"]);
    let without = request(&[("user", "2+2?")]);
    let call = without.ask().instruct("Think.").instruct("Now.").question("3+3?").user("Yes?");
    assert_eq!(turns(call), ["system: Think.", "system: Now.", "0: 3+3?\n\nYes?"]);
}

#[test]
fn a_very_long_question_is_not_copied() {
    let request = request(&[("user", &"word ".repeat(100_000))]);
    assert_eq!(turns(request.ask().user("Is it?").user("Truly?")), ["0", "user: Is it?\n\nTruly?"]);
}
