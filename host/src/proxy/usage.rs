//! The tokens that an answer says it took, and their cost if the provider names it.
//!
//! Reads the value of each key `usage`, or Gemini's `usageMetadata`, that is an object, without parsing the rest of the
//! bytes. In a JSON text a quoted `"usage"` is a key or a whole string value, never part of a longer text, whose quotes
//! would be escaped; a value that is no object with such figures is ignored.
//!
//! An answer may name them more than once: streams of messages name the prompt in their first event and the completion
//! in their last, others count up with each event. Figures only grow, so the largest of each is that of the answer.
//! The sources of the names are with [`Figure`].

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::{Map, Value};

use crate::limits::Nano;
pub use crate::limits::Usage;
use crate::limits::usage::{Figure, Figures};

use super::request::BodyError;
use super::request::scan::{Elements, Members};

/// The beginning of the keys of the figures.
const KEY: &[u8] = b"\"usage";
/// The rests of these keys: everybody's, and Gemini's.
const RESTS: [&[u8]; 2] = [b"\"", b"Metadata\""];
/// The most bytes of an object with the figures and their details.
const MAX_OBJECT: usize = 4096;
/// The most keys that are looked at in one piece: a piece that consists only of keys must not cost more than its size.
const LOOKED_AT: usize = 64;

/// The part that follows a key.
enum Reading {
    Figures(Figures),
    Nothing,
    /// The text ends before it is clear.
    CutOff,
}

/// The figures of a whole answer, be it one JSON text or a stream of events.
pub fn of(answer: &[u8]) -> Option<Usage> {
    let mut scanner = UsageScanner::default();
    scanner.look(answer);
    if scanner.objects > 1 && answer.trim_ascii_start().starts_with(b"{") {
        // A model's answer may hold an object of this name, as the arguments of a tool.
        return outermost(answer).or(scanner.figures).map(|figures| figures.usage());
    }
    scanner.found()
}

/// The usage whose counts are those of several answers, added up by their names.
pub fn of_sums(sums: &Map<String, Value>) -> Option<Usage> {
    let text = serde_json::to_vec(sums).unwrap_or_default();
    match read(&text) {
        Reading::Figures(figures) => Some(figures.usage()),
        Reading::Nothing | Reading::CutOff => None,
    }
}

/// The figures of the member of an answer's own object, if the answer is one object.
fn outermost(answer: &[u8]) -> Option<Figures> {
    let opening = answer.iter().position(|byte| *byte == b'{')?;
    let mut members = Members::at(answer, opening)?;
    let mut found = None;
    while let Some(member) = members.next().ok()? {
        if matches!(&answer[member.key], b"usage" | b"usageMetadata")
            && let Reading::Figures(figures) = read(&answer[member.value])
        {
            found = Some(figures);
        }
    }
    members.scanner.end().ok()?;
    found
}

/// The figure of a member of the object, if it is one.
fn figure(key: &[u8]) -> Option<Figure> {
    Some(match key {
        b"prompt_tokens" => Figure::Prompt,
        b"completion_tokens" => Figure::Completion,
        b"total_tokens" => Figure::Total,
        b"input_tokens" => Figure::Input,
        b"output_tokens" => Figure::Output,
        b"cached_tokens" | b"prompt_cache_hit_tokens" => Figure::Cached,
        b"prompt_cache_miss_tokens" => Figure::Missed,
        b"cache_write_tokens" => Figure::Written,
        b"cache_read_input_tokens" => Figure::CacheRead,
        b"cache_creation_input_tokens" => Figure::CacheCreation,
        b"promptTokenCount" => Figure::GeminiPrompt,
        b"cachedContentTokenCount" => Figure::Cached,
        b"toolUsePromptTokenCount" => Figure::GeminiTools,
        b"candidatesTokenCount" => Figure::GeminiAnswer,
        b"thoughtsTokenCount" => Figure::GeminiThoughts,
        b"totalTokenCount" => Figure::Total,
        _ => return None,
    })
}

/// The figure of a member of the details named `of`, if it is one.
fn detail(of: &[u8], key: &[u8]) -> Option<Figure> {
    Some(match (of, key) {
        // `input_token_details` is what transcriptions call them.
        (b"prompt_tokens_details" | b"input_tokens_details" | b"input_token_details", key) => match key {
            b"cached_tokens" => Figure::Cached,
            b"cache_write_tokens" | b"cache_creation_tokens" => Figure::Written,
            b"audio_tokens" => Figure::AudioIn,
            b"image_tokens" => Figure::ImageIn,
            _ => return None,
        },
        (b"completion_tokens_details" | b"output_tokens_details" | b"output_token_details", key) => match key {
            b"reasoning_tokens" | b"thinking_tokens" => Figure::Reasoning,
            b"audio_tokens" => Figure::AudioOut,
            b"image_tokens" => Figure::ImageOut,
            _ => return None,
        },
        (b"cache_creation", b"ephemeral_5m_input_tokens") => Figure::Minutes,
        (b"cache_creation", b"ephemeral_1h_input_tokens") => Figure::Hour,
        _ => return None,
    })
}

/// The figure of one of Gemini's lists of details: `[{"modality": "AUDIO", "tokenCount": 7}]`.
fn modality(of: &[u8], modality: &[u8]) -> Option<Figure> {
    Some(match (of, modality) {
        (b"promptTokensDetails", b"\"AUDIO\"") => Figure::AudioIn,
        (b"promptTokensDetails", b"\"IMAGE\"") => Figure::ImageIn,
        (b"candidatesTokensDetails", b"\"AUDIO\"") => Figure::AudioOut,
        (b"candidatesTokensDetails", b"\"IMAGE\"") => Figure::ImageOut,
        _ => return None,
    })
}

/// Reads the figures that follow the beginning of a key.
fn after_key(rest: &[u8]) -> Reading {
    let Some(after) = RESTS.iter().find_map(|end| rest.strip_prefix(*end)) else {
        let is_cut = RESTS.iter().any(|end| end.starts_with(rest));
        return if is_cut { Reading::CutOff } else { Reading::Nothing };
    };
    let rest = after.trim_ascii_start();
    let Some(rest) = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start) else {
        return if rest.is_empty() { Reading::CutOff } else { Reading::Nothing };
    };
    read(rest)
}

/// Reads the object that begins here.
fn read(text: &[u8]) -> Reading {
    let object = &text[..text.len().min(MAX_OBJECT)];
    let Some(mut members) = Members::at(object, 0) else {
        return if object.is_empty() { Reading::CutOff } else { Reading::Nothing };
    };
    let mut figures = Figures::default();
    loop {
        match members.next() {
            Ok(Some(member)) => note(object, &object[member.key], member.value, &mut figures),
            // Only an object that has ended is believed: the last figure may have more digits.
            Ok(None) if figures.is_empty() => return Reading::Nothing,
            Ok(None) => return Reading::Figures(figures),
            Err(BodyError::Syntax { found: None, .. }) => return Reading::CutOff,
            Err(_) => return Reading::Nothing,
        }
    }
}

/// Takes note of one member of the object.
fn note(object: &[u8], key: &[u8], at: Range<usize>, figures: &mut Figures) {
    let value = &object[at.clone()];
    match value.first() {
        Some(b'0'..=b'9') if key == b"cost" => {
            // OpenRouter: "usage accounting". What the providers behind it take (`cost_details`) is within it, or is paid
            // with a key of one's own.
            figures.cost = figures.cost.max(std::str::from_utf8(value).ok().and_then(Nano::of_dollars));
        }
        Some(b'0'..=b'9') => {
            if let (Some(figure), Some(value)) = (figure(key), number(value)) {
                figures.note(figure, value);
            }
        }
        Some(b'{') => {
            let Some(mut members) = Members::at(object, at.start) else { return };
            while let Ok(Some(member)) = members.next() {
                if let (Some(figure), Some(value)) = (detail(key, &object[member.key]), number(&object[member.value])) {
                    figures.note(figure, value);
                }
            }
        }
        Some(b'[') if key.ends_with(b"TokensDetails") => {
            let Some(mut elements) = Elements::at(object, at.start) else { return };
            while let Ok(Some(element)) = elements.next() {
                let Some(mut members) = Members::at(object, element.start) else { continue };
                let (mut kind, mut count) = (None, None);
                while let Ok(Some(member)) = members.next() {
                    match &object[member.key] {
                        b"modality" => kind = modality(key, &object[member.value]),
                        b"tokenCount" => count = number(&object[member.value]),
                        _ => {}
                    }
                }
                if let (Some(figure), Some(count)) = (kind, count) {
                    figures.note(figure, count);
                }
            }
        }
        _ => {}
    }
}

/// A whole number, written with digits alone.
fn number(value: &[u8]) -> Option<u64> {
    let digit = |number: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if value.is_empty() { None } else { value.iter().try_fold(0, digit) }
}

/// Looks for the figures in an answer as it passes.
#[derive(Debug, Default)]
pub struct UsageScanner {
    figures: Option<Figures>,
    /// The objects that had figures.
    objects: u32,
    /// The end of what has passed, when figures may have begun in it. Bounded.
    carried: Vec<u8>,
}

impl UsageScanner {
    /// Looks at the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.carried.is_empty() {
            return self.look(piece);
        }
        let mut text = std::mem::take(&mut self.carried);
        text.extend_from_slice(&piece[..piece.len().min(MAX_OBJECT)]);
        self.look(&text);
        if piece.len() > MAX_OBJECT {
            self.carried.clear();
            self.look(piece);
        }
    }

    fn look(&mut self, text: &[u8]) {
        static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(KEY));
        let mut from = 0;
        for _ in 0..LOOKED_AT {
            let Some(length) = FINDER.find(&text[from..]) else { break };
            let key = from + length;
            from = key + KEY.len();
            match after_key(&text[from..]) {
                Reading::Figures(figures) => {
                    self.objects = self.objects.saturating_add(1);
                    match &mut self.figures {
                        Some(found) => found.merge(&figures),
                        None => self.figures = Some(figures),
                    }
                }
                Reading::Nothing => {}
                Reading::CutOff if text.len() - key < MAX_OBJECT => {
                    return self.carried.extend_from_slice(&text[key..]);
                }
                Reading::CutOff => {}
            }
        }
        // Nearly every piece of a stream ends with an event, that is with a line.
        if text.ends_with(b"\n") {
            return;
        }
        let cut = (1..KEY.len()).rev().find(|&length| text.ends_with(&KEY[..length]));
        self.carried.extend_from_slice(cut.map_or(&[][..], |length| &KEY[..length]));
    }

    /// The usage, if any was found.
    pub fn found(&self) -> Option<Usage> {
        self.figures.as_ref().map(Figures::usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\": {}\"}}],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34,\"total_tokens\":46,",
        "\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\ndata: [DONE]\n\n",
    );

    /// The tokens of prompt and answer.
    type Tokens = (Option<u64>, Option<u64>);

    const FIGURES: Option<Tokens> = Some((Some(12), Some(34)));

    fn tokens(usage: Option<Usage>) -> Option<Tokens> {
        usage.map(|usage| (usage.prompt_tokens(), usage.completion_tokens()))
    }

    #[test]
    fn reads_both_ways_to_say_it() {
        let chat = br#"{"choices": [], "usage" : {"prompt_tokens": 12, "completion_tokens": 34}}"#;
        let responses = br#"{"output": [], "usage":{"input_tokens":12,"output_tokens":34}}"#;
        assert_eq!((tokens(of(chat)), tokens(of(responses))), (FIGURES, FIGURES));
        let embeddings = br#"{"data": [], "usage": {"prompt_tokens": 12, "total_tokens": 12}}"#;
        assert_eq!(tokens(of(embeddings)), Some((Some(12), None)));
        assert_eq!(tokens(of(STREAM.as_bytes())), FIGURES);
        let followed = r#"{"usage":{"prompt_tokens":12,"completion_tokens":34}}{"usage":null}"#;
        assert_eq!(tokens(of(followed.as_bytes())), FIGURES);
    }

    #[test]
    fn the_largest_of_each_figure_is_the_answers() {
        // Messages: the prompt in the first event, the completion in the last.
        let messages = concat!(
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":12,",
            "\"cache_creation\":{\"ephemeral_5m_input_tokens\":0},\"output_tokens\":1}}}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":34}}\n\n",
        );
        assert_eq!(tokens(of(messages.as_bytes())), FIGURES);
        let counting = r#"{"usage":{"prompt_tokens":12,"completion_tokens":7}}{"usage":{"completion_tokens":34}}"#;
        assert_eq!(tokens(of(counting.as_bytes())), FIGURES);
        let mut scanner = UsageScanner::default();
        messages.split_inclusive('\n').for_each(|line| scanner.feed(line.as_bytes()));
        assert_eq!(tokens(scanner.found()), FIGURES);
    }

    #[test]
    fn what_is_no_figure_is_none() {
        for text in [
            "",
            "\"usage\"",
            "{\"usage\":null}",
            "{\"usage\":{}}",
            "{\"usage\":{\"prompt_tokens\":-1}}",
            "{\"usage\":{\"prompt_tokens\":1",
            "{\"usage\":{\"type\":\"object\",\"prompt_tokens\":\"1\"}}",
            "{\"content\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":1}\"}",
        ] {
            assert_eq!(of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn finds_the_same_however_the_stream_is_cut() {
        let bytes = STREAM.as_bytes();
        for first in 0..bytes.len() {
            for second in [first + 1, first + 9, bytes.len()] {
                let second = second.min(bytes.len());
                let mut scanner = UsageScanner::default();
                for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    scanner.feed(piece);
                }
                assert_eq!(tokens(scanner.found()), FIGURES, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn figures_behind_a_large_answer_are_found() {
        let mut scanner = UsageScanner::default();
        let large = format!("{{\"data\":[{}],", "0.25,".repeat(100_000));
        let figures = "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34}}";
        (large + figures).as_bytes().chunks(1448).for_each(|piece| scanner.feed(piece));
        assert_eq!(tokens(scanner.found()), FIGURES);
    }

    #[test]
    fn what_it_carries_is_bounded() {
        for (start, more) in [("\"usage\":{\"x\":\"", b'x'), ("\"usage\"", b' '), ("\"usage\":", b' ')] {
            let mut scanner = UsageScanner::default();
            scanner.feed(start.as_bytes());
            for _ in 0..100 {
                scanner.feed(&[more; 1000]);
                assert!(scanner.carried.len() <= MAX_OBJECT);
            }
        }
    }

    /// Golden usages: the shape as the vendor documents it, and the tokens of each part.
    #[test]
    fn the_parts_are_told_apart_as_each_vendor_counts_them() {
        use crate::limits::usage::Part::{
            AudioIn, AudioOut, CacheRead, CacheWrite, CacheWriteHour, Image, ImageIn, Input, Output, Reasoning,
        };
        type Parts = &'static [(crate::limits::usage::Part, u64)];
        let table: [(&str, &str, Parts); 22] = [
            // platform.openai.com/docs/api-reference/chat/object: cached within the prompt, reasoning within the completion.
            (
                "OpenAI chat",
                r#"{"usage":{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{
                "cached_tokens":1920,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":128,"audio_tokens":0,
                "accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}"#,
                &[(Input, 86), (CacheRead, 1920), (AudioIn, 0), (Reasoning, 128), (AudioOut, 0), (Output, 172)],
            ),
            // The same reference, gpt-audio: audio within both.
            (
                "OpenAI audio chat",
                r#"{"usage":{"prompt_tokens":117,"completion_tokens":320,"total_tokens":437,"prompt_tokens_details":{
                "cached_tokens":0,"text_tokens":17,"audio_tokens":100},"completion_tokens_details":{"reasoning_tokens":0,
                "text_tokens":70,"audio_tokens":250}}}"#,
                &[(Input, 17), (AudioIn, 100), (CacheRead, 0), (Output, 70), (AudioOut, 250), (Reasoning, 0)],
            ),
            // platform.openai.com/docs/api-reference/responses/object; cache_write_tokens since models that charge for writes.
            (
                "OpenAI responses",
                r#"{"output":[],"usage":{"input_tokens":328,"input_tokens_details":{"cached_tokens":200,
                "cache_write_tokens":100},"output_tokens":52,"output_tokens_details":{"reasoning_tokens":32},
                "total_tokens":380}}"#,
                &[(Input, 28), (CacheRead, 200), (CacheWrite, 100), (Output, 20), (Reasoning, 32)],
            ),
            ("OpenAI embeddings", r#"{"usage":{"prompt_tokens":8,"total_tokens":8}}"#, &[(Input, 8)]),
            (
                "OpenAI completions",
                r#"{"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#,
                &[(Input, 5), (Output, 7)],
            ),
            // platform.openai.com/docs/api-reference/audio/json-object
            (
                "OpenAI transcription",
                r#"{"text":"x","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":4,
                "audio_tokens":10},"output_tokens":101,"total_tokens":115}}"#,
                &[(Input, 4), (AudioIn, 10), (Output, 101)],
            ),
            // platform.openai.com/docs/api-reference/images/object: all of the answer is a picture.
            (
                "OpenAI images",
                r#"{"data":[],"usage":{"total_tokens":100,"input_tokens":50,"output_tokens":50,"input_tokens_details":{
                "text_tokens":10,"image_tokens":40}}}"#,
                &[(Input, 10), (ImageIn, 40), (Image, 50), (Output, 0)],
            ),
            (
                "OpenAI images with details of the answer",
                r#"{"usage":{"input_tokens":50,"output_tokens":60,"input_tokens_details":{"text_tokens":10,
                "image_tokens":40},"output_tokens_details":{"image_tokens":50,"text_tokens":10}}}"#,
                &[(Input, 10), (ImageIn, 40), (Image, 50), (Output, 10)],
            ),
            // learn.microsoft.com/azure/ai-services/openai/reference: OpenAI's, with the results of filters around it.
            (
                "Azure",
                r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}],"usage":{"completion_tokens":57,
                "completion_tokens_details":{"accepted_prediction_tokens":0,"audio_tokens":0,"reasoning_tokens":0,
                "rejected_prediction_tokens":0},"prompt_tokens":33,"prompt_tokens_details":{"audio_tokens":0,
                "cached_tokens":0},"total_tokens":90}}"#,
                &[(Input, 33), (CacheRead, 0), (AudioIn, 0), (Output, 57), (Reasoning, 0), (AudioOut, 0)],
            ),
            // docs.anthropic.com/en/docs/build-with-claude/prompt-caching: caches beside input_tokens.
            (
                "Anthropic",
                r#"{"type":"message","usage":{"input_tokens":2048,"cache_read_input_tokens":1800,
                "cache_creation_input_tokens":248,"output_tokens":503,"cache_creation":{"ephemeral_5m_input_tokens":148,
                "ephemeral_1h_input_tokens":100},"service_tier":"standard"}}"#,
                &[(Input, 2048), (CacheRead, 1800), (CacheWrite, 148), (CacheWriteHour, 100), (Output, 503)],
            ),
            // The same, "Streaming": the counts of message_delta are those of the whole so far.
            (
                "Anthropic stream",
                "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":1000,\
                 \"cache_creation_input_tokens\":0,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"usage\":{\
                 \"input_tokens\":25,\"cache_read_input_tokens\":1000,\"output_tokens\":15}}\n\n",
                &[(Input, 25), (CacheRead, 1000), (CacheWrite, 0), (Output, 15)],
            ),
            // A gateway that gives Anthropic's counts beside OpenAI's.
            (
                "Anthropic's counts within OpenAI's",
                r#"{"usage":{"prompt_tokens":2300,"completion_tokens":10,"total_tokens":2310,"prompt_tokens_details":{
                "cached_tokens":2000},"cache_read_input_tokens":2000,"cache_creation_input_tokens":200}}"#,
                &[(Input, 100), (CacheRead, 2000), (CacheWrite, 200), (Output, 10)],
            ),
            // api-docs.deepseek.com/guides/kv_cache
            (
                "DeepSeek",
                r#"{"usage":{"prompt_tokens":1100,"completion_tokens":40,"total_tokens":1140,"prompt_cache_hit_tokens":1024,
                "prompt_cache_miss_tokens":76,"completion_tokens_details":{"reasoning_tokens":30}}}"#,
                &[(Input, 76), (CacheRead, 1024), (Output, 10), (Reasoning, 30)],
            ),
            (
                "DeepSeek, only hits and misses",
                r#"{"usage":{"prompt_cache_hit_tokens":1024,"prompt_cache_miss_tokens":76,"completion_tokens":4}}"#,
                &[(Input, 76), (CacheRead, 1024), (Output, 4)],
            ),
            // platform.moonshot.ai/docs/api/chat: cached_tokens beside the others, in streams within the last choice.
            (
                "Moonshot",
                "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":19,\
                 \"completion_tokens\":13,\"total_tokens\":32,\"cached_tokens\":12}}]}\n\n",
                &[(Input, 7), (CacheRead, 12), (Output, 13)],
            ),
            (
                "Kimi with writes",
                r#"{"usage":{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":1010,"prompt_tokens_details":{
                "cached_tokens":600,"cache_write_tokens":300}}}"#,
                &[(Input, 100), (CacheRead, 600), (CacheWrite, 300), (Output, 10)],
            ),
            // openrouter.ai/docs/use-cases/usage-accounting
            (
                "OpenRouter",
                r#"{"usage":{"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":0},"cost":0.95,
                "cost_details":{"upstream_inference_cost":19},"prompt_tokens":194,"prompt_tokens_details":{
                "cached_tokens":0,"cache_write_tokens":100,"audio_tokens":0},"total_tokens":196}}"#,
                &[(Input, 94), (CacheRead, 0), (CacheWrite, 100), (AudioIn, 0), (Output, 2), (Reasoning, 0)],
            ),
            // ai.google.dev/api/generate-content#UsageMetadata: cached within the prompt, thoughts beside the candidates.
            (
                "Gemini",
                r#"{"usageMetadata":{"promptTokenCount":1000,"cachedContentTokenCount":600,"candidatesTokenCount":50,
                "thoughtsTokenCount":200,"toolUsePromptTokenCount":10,"totalTokenCount":1260,"promptTokensDetails":[
                {"modality":"TEXT","tokenCount":700},{"modality":"AUDIO","tokenCount":300}],"cacheTokensDetails":[
                {"modality":"TEXT","tokenCount":600}],"candidatesTokensDetails":[{"modality":"TEXT","tokenCount":50}]}}"#,
                &[(Input, 110), (CacheRead, 600), (AudioIn, 300), (Output, 50), (Reasoning, 200)],
            ),
            (
                "Gemini, a picture",
                r#"{"usageMetadata":{"candidatesTokensDetails":[{"tokenCount":1290,"modality":"IMAGE"}],
                "promptTokenCount":9,"candidatesTokenCount":1300,"totalTokenCount":1309}}"#,
                &[(Input, 9), (Image, 1290), (Output, 10)],
            ),
            // ai.google.dev/gemini-api/docs/openai: thoughts are in the total and nowhere else.
            (
                "Gemini by OpenAI's names",
                r#"{"usage":{"completion_tokens":50,"prompt_tokens":100,"total_tokens":350}}"#,
                &[(Input, 100), (Output, 50), (Reasoning, 200)],
            ),
            // docs.x.ai/docs/guides/reasoning: reasoning beside the completion.
            (
                "xAI",
                r#"{"usage":{"prompt_tokens":32,"completion_tokens":9,"total_tokens":151,"prompt_tokens_details":{
                "text_tokens":32,"audio_tokens":0,"image_tokens":0,"cached_tokens":6},"completion_tokens_details":{
                "reasoning_tokens":110,"audio_tokens":0}}}"#,
                &[
                    (Input, 26),
                    (CacheRead, 6),
                    (AudioIn, 0),
                    (ImageIn, 0),
                    (Output, 9),
                    (Reasoning, 110),
                    (AudioOut, 0),
                ],
            ),
            ("a reranker", r#"{"results":[],"usage":{"total_tokens":38}}"#, &[(Input, 38)]),
        ];
        for (vendor, answer, parts) in table {
            let usage = of(answer.as_bytes()).expect(vendor);
            let mut expected = Usage::default();
            expected.reported = usage.reported;
            parts.iter().for_each(|(part, tokens)| expected.set(*part, *tokens));
            assert_eq!(usage, expected, "{vendor}");
            let cost = (vendor == "OpenRouter").then_some(Nano(950_000_000));
            assert_eq!(usage.reported, cost, "{vendor}");
        }
    }

    #[test]
    fn an_object_that_the_model_made_up_is_not_the_answers_usage() {
        let answer = r#"{"type":"message","content":[{"type":"tool_use","input":{"usage":{"input_tokens":999999,
            "output_tokens":999999}}}],"usage":{"input_tokens":12,"output_tokens":34}}"#;
        assert_eq!(tokens(of(answer.as_bytes())), FIGURES);
    }

    #[test]
    fn sums_of_an_approach_are_read_as_an_answers_usage_is() {
        let sums = r#"{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":2}}"#;
        let usage = of_sums(&serde_json::from_str(sums).expect("a map"));
        assert_eq!(tokens(usage), FIGURES);
        assert_eq!(usage.map(|usage| usage.count(crate::limits::usage::Part::CacheRead)), Some(2));
        assert_eq!(of_sums(&Map::new()), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_text_is_the_same_is_found_however_it_is_cut(
            parts in proptest::collection::vec(
                "\"usage\"|\"usageMetadata\"|:|,|\\{|\\}|\\[|\\]|\"prompt_tokens\"|\"input_tokens_details\"|\"audio_tokens\"|\"cost\"|[0-9]{1,3}|0\\.5| |\n|x|\\\\",
                0..40,
            ),
            cut in 0_usize..200,
        ) {
            let text = parts.concat().into_bytes();
            let scan = |pieces: &mut dyn Iterator<Item = &[u8]>| {
                let mut scanner = UsageScanner::default();
                pieces.for_each(|piece| scanner.feed(piece));
                scanner.figures
            };
            let (begin, rest) = text.split_at(cut.min(text.len()));
            let whole = scan(&mut std::iter::once(&text[..]));
            proptest::prop_assert_eq!(whole, scan(&mut [begin, rest].into_iter()));
            proptest::prop_assert_eq!(whole, scan(&mut text.chunks(1)));
        }
    }
}
