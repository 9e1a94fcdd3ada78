//! The tokens that a request and its answer took, in parts of which no two have a token in common.
//!
//! Vendors count differently: a prompt's cached tokens are within its count at OpenAI and beside it at Anthropic; tokens of
//! reasoning are within those of the completion at OpenAI and beside them at Gemini and xAI. [`Figures`] are what an answer
//! says, and [`Figures::usage`] is the only place that knows what that means.

use super::money::Nano;

/// A part of the tokens. The price of each may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Of the prompt: text that was not cached.
    Input,
    /// Of the prompt: audio.
    AudioIn,
    /// Of the prompt: pictures, where the vendor tells them from text.
    ImageIn,
    /// Of the prompt: read from a cache.
    CacheRead,
    /// Of the prompt: written to a cache, for minutes.
    CacheWrite,
    /// Of the prompt: written to a cache, for an hour.
    CacheWriteHour,
    /// Of the answer: text, without the reasoning before it.
    Output,
    /// Of the answer: reasoning.
    Reasoning,
    /// Of the answer: audio.
    AudioOut,
    /// Of the answer: pictures.
    Image,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Input,
        Self::AudioIn,
        Self::ImageIn,
        Self::CacheRead,
        Self::CacheWrite,
        Self::CacheWriteHour,
        Self::Output,
        Self::Reasoning,
        Self::AudioOut,
        Self::Image,
    ];
    /// Those of the prompt.
    pub const PROMPT: [Self; 6] =
        [Self::Input, Self::AudioIn, Self::ImageIn, Self::CacheRead, Self::CacheWrite, Self::CacheWriteHour];
    /// Those of the answer.
    pub const ANSWER: [Self; 4] = [Self::Output, Self::Reasoning, Self::AudioOut, Self::Image];

    /// The name in reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::AudioIn => "audio_in",
            Self::ImageIn => "image_in",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::CacheWriteHour => "cache_write_1h",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::AudioOut => "audio_out",
            Self::Image => "image",
        }
    }
}

/// The bits of the parts of the prompt, which are the first.
const OF_PROMPT: u16 = (1 << Part::PROMPT.len()) - 1;

/// The tokens of one request and its answer, part by part, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    parts: [u32; Part::ALL.len()],
    /// A bit for each part that is known.
    known: u16,
    /// The cost that the provider itself has named.
    pub reported: Option<Nano>,
}

impl Usage {
    /// So many tokens of text; 0 for a side that is not known.
    pub fn of(prompt: Option<u64>, answer: Option<u64>) -> Self {
        let mut usage = Self::default();
        if let Some(prompt) = prompt {
            usage.set(Part::Input, prompt);
        }
        if let Some(answer) = answer {
            usage.set(Part::Output, answer);
        }
        usage
    }

    /// The tokens of a part, if they are known.
    pub fn get(&self, part: Part) -> Option<u64> {
        (self.known >> part as u16 & 1 == 1).then(|| self.count(part))
    }

    /// The tokens of a part; 0 if they are not known.
    pub fn count(&self, part: Part) -> u64 {
        self.parts[part as usize].into()
    }

    /// Sets the tokens of a part.
    pub fn set(&mut self, part: Part, tokens: u64) {
        self.parts[part as usize] = u32::try_from(tokens).unwrap_or(u32::MAX);
        self.known |= 1 << part as u16;
    }

    /// The tokens of the prompt, those of caches included; `None` when nothing is known of it.
    pub fn prompt_tokens(&self) -> Option<u64> {
        (self.known & OF_PROMPT != 0).then(|| self.sides().0)
    }

    /// The tokens of the answer, those of reasoning included; `None` when nothing is known of it.
    pub fn completion_tokens(&self) -> Option<u64> {
        (self.known & !OF_PROMPT != 0).then(|| self.sides().1)
    }

    /// The sums of prompt and answer. What is not known is 0.
    fn sides(&self) -> (u64, u64) {
        let (prompt, answer) = self.parts.split_at(Part::PROMPT.len());
        let sum = |parts: &[u32]| parts.iter().map(|tokens| u64::from(*tokens)).sum();
        (sum(prompt), sum(answer))
    }

    /// All tokens.
    pub fn total(&self) -> u64 {
        self.parts.iter().map(|tokens| u64::from(*tokens)).sum()
    }

    /// The tokens of prompt and answer; 0 for what is not known.
    pub fn tokens(&self) -> (u32, u32) {
        let count = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
        let (prompt, answer) = self.sides();
        (count(prompt), count(answer))
    }

    /// True when neither tokens nor a cost are known.
    pub fn is_empty(&self) -> bool {
        self.known == 0 && self.reported.is_none()
    }

    /// The sum with the usage of another request.
    pub fn add(&mut self, other: &Self) {
        for part in Part::ALL {
            if let Some(tokens) = other.get(part) {
                self.set(part, self.count(part) + tokens);
            }
        }
        self.reported = match (self.reported, other.reported) {
            (Some(one), Some(other)) => Some(one.plus(other)),
            (one, other) => one.or(other),
        };
    }
}

/// A figure that vendors give, with the names that they give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// `prompt_tokens`: OpenAI's chat, completions and embeddings, and everybody who does as they do. With what is cached.
    Prompt,
    /// `input_tokens`: OpenAI's responses, images and transcriptions, with what is cached; Anthropic, without.
    Input,
    /// `cached_tokens` (Moonshot, and in `prompt_tokens_details` or `input_tokens_details`), and DeepSeek's
    /// `prompt_cache_hit_tokens`: within the prompt.
    Cached,
    /// DeepSeek's `prompt_cache_miss_tokens`: the rest of the prompt.
    Missed,
    /// `cache_write_tokens` in the details of the prompt (OpenAI, OpenRouter, Moonshot): within the prompt.
    Written,
    /// Anthropic's `cache_read_input_tokens`: beside `input_tokens`, within `prompt_tokens`.
    CacheRead,
    /// Anthropic's `cache_creation_input_tokens`, likewise.
    CacheCreation,
    /// Anthropic's `cache_creation.ephemeral_5m_input_tokens`, a part of the latter.
    Minutes,
    /// Anthropic's `cache_creation.ephemeral_1h_input_tokens`, a part of the latter.
    Hour,
    /// `audio_tokens` in the details of the prompt: within it.
    AudioIn,
    /// `image_tokens` in the details of the prompt: within it.
    ImageIn,
    /// `completion_tokens`.
    Completion,
    /// `output_tokens`.
    Output,
    /// `reasoning_tokens` in the details of the completion: within it, but beside it at xAI.
    Reasoning,
    /// `audio_tokens` in the details of the completion: within it.
    AudioOut,
    /// `image_tokens` in the details of the completion: within it.
    ImageOut,
    /// `total_tokens`.
    Total,
    /// Gemini's `promptTokenCount`, with what is cached.
    GeminiPrompt,
    /// Gemini's `toolUsePromptTokenCount`, beside the prompt.
    GeminiTools,
    /// Gemini's `candidatesTokenCount`.
    GeminiAnswer,
    /// Gemini's `thoughtsTokenCount`, beside the candidates.
    GeminiThoughts,
}

/// The number of figures.
const FIGURES: usize = Figure::GeminiThoughts as usize + 1;

/// The figures of an answer as it says them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    values: [u32; FIGURES],
    /// A bit for each one that was said.
    known: u32,
    /// The cost that the provider names, OpenRouter's `cost`.
    pub cost: Option<Nano>,
}

impl Figures {
    /// Takes note of a figure. Figures only grow in the course of an answer, so the largest counts.
    pub fn note(&mut self, figure: Figure, value: u64) {
        let (place, value) = (figure as usize, u32::try_from(value).unwrap_or(u32::MAX));
        self.values[place] = self.values[place].max(value);
        self.known |= 1 << place;
    }

    /// Takes note of the figures of another part of the answer.
    pub fn merge(&mut self, other: &Self) {
        for (value, other) in self.values.iter_mut().zip(other.values) {
            *value = other.max(*value);
        }
        self.known |= other.known;
        self.cost = self.cost.max(other.cost);
    }

    /// True when nothing was said.
    pub fn is_empty(&self) -> bool {
        self.known == 0 && self.cost.is_none()
    }

    fn get(&self, figure: Figure) -> Option<u64> {
        (self.known >> figure as u32 & 1 == 1).then(|| self.values[figure as usize].into())
    }

    fn count(&self, figure: Figure) -> u64 {
        self.values[figure as usize].into()
    }

    /// The tokens of each part. What a part would have beyond its whole is cut, so that the parts always make up the whole.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage { reported: self.cost, ..Usage::default() };
        let prompt = self.put_prompt(&mut usage);
        self.put_answer(prompt, &mut usage);
        usage
    }

    /// Puts the parts of the prompt in; returns the count that stands beside the vendor's total.
    fn put_prompt(&self, usage: &mut Usage) -> Option<u64> {
        let openai = self.get(Figure::Prompt).or_else(|| {
            let missed = self.get(Figure::Missed)?;
            Some(missed + self.count(Figure::Cached))
        });
        let gemini = || Some(self.get(Figure::GeminiPrompt)? + self.count(Figure::GeminiTools));
        let is_within = openai.is_some();
        let no_answer = self.get(Figure::Completion).or(self.get(Figure::Output)).is_none();
        // A reranker says nothing but the total.
        let alone = || self.get(Figure::Total).filter(|_| no_answer);
        let count = openai.or(self.get(Figure::Input)).or_else(gemini).or_else(alone);
        let created = self.count(Figure::CacheCreation).max(self.count(Figure::Minutes) + self.count(Figure::Hour));
        let beside = if is_within { 0 } else { self.count(Figure::CacheRead) + created };
        let is_known = |figures: &[Figure]| figures.iter().any(|figure| self.get(*figure).is_some());
        let (reads, writes) =
            ([Figure::Cached, Figure::CacheRead], [Figure::Written, Figure::CacheCreation, Figure::Minutes]);
        if count.is_none() && !is_known(&[Figure::CacheRead, Figure::CacheCreation]) {
            return None;
        }
        let mut left = count.unwrap_or(0) + beside;
        let mut put = |part, tokens: u64, known| {
            let tokens = tokens.min(left);
            left -= tokens;
            if known || tokens > 0 {
                usage.set(part, tokens);
            }
        };
        let (read, written) = match is_within {
            true => (
                self.count(Figure::Cached).max(self.count(Figure::CacheRead)),
                self.count(Figure::Written).max(created),
            ),
            false => {
                (self.count(Figure::Cached) + self.count(Figure::CacheRead), self.count(Figure::Written) + created)
            }
        };
        put(Part::CacheRead, read, is_known(&reads));
        let hour = self.count(Figure::Hour).min(written);
        put(Part::CacheWriteHour, hour, is_known(&[Figure::Hour]));
        put(Part::CacheWrite, written - hour, is_known(&writes));
        put(Part::AudioIn, self.count(Figure::AudioIn), is_known(&[Figure::AudioIn]));
        put(Part::ImageIn, self.count(Figure::ImageIn), is_known(&[Figure::ImageIn]));
        if count.is_some() {
            usage.set(Part::Input, left);
        }
        openai
    }

    /// Puts the parts of the answer in; `prompt` is the part of the total that is the prompt's.
    fn put_answer(&self, prompt: Option<u64>, usage: &mut Usage) {
        let (said, thoughts) = (self.count(Figure::Reasoning), self.count(Figure::GeminiThoughts));
        let openai = self.get(Figure::Completion).or(self.get(Figure::Output));
        let gemini = self.get(Figure::GeminiAnswer).or(self.get(Figure::GeminiThoughts).map(|_| 0));
        let Some(count) = openai.or(gemini) else { return };
        // Tokens of the total that are neither of the prompt nor of the completion are of reasoning: xAI names them, Gemini
        // by OpenAI's names does not.
        let beside = match (prompt, self.get(Figure::Total)) {
            (Some(prompt), Some(total)) => total.saturating_sub(prompt + count),
            (None, Some(_)) => 0,
            (_, None) if said > count => said,
            (_, None) => 0,
        };
        let mut left = count + beside + thoughts;
        let mut put = |part, tokens: u64, known: bool| {
            let tokens = tokens.min(left);
            left -= tokens;
            if known || tokens > 0 {
                usage.set(part, tokens);
            }
        };
        let reasoned = said.max(beside) + thoughts;
        let is_known = |figure| self.get(figure).is_some();
        let of_reasoning = is_known(Figure::Reasoning) || is_known(Figure::GeminiThoughts) || beside > 0;
        put(Part::Reasoning, reasoned, of_reasoning);
        put(Part::AudioOut, self.count(Figure::AudioOut), is_known(Figure::AudioOut));
        // An endpoint that tells pictures in the prompt from text and says nothing of the answer's makes pictures.
        let details = [Figure::Reasoning, Figure::AudioOut, Figure::ImageOut];
        let is_picture = is_known(Figure::ImageIn) && is_known(Figure::Input) && !details.into_iter().any(is_known);
        let pictures = if is_picture { count } else { self.count(Figure::ImageOut) };
        put(Part::Image, pictures, is_picture || is_known(Figure::ImageOut));
        usage.set(Part::Output, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usage(figures: &[(Figure, u64)]) -> Usage {
        let mut all = Figures::default();
        figures.iter().for_each(|(figure, value)| all.note(*figure, *value));
        all.usage()
    }

    #[test]
    fn what_is_not_said_is_not_known() {
        let usage = usage(&[(Figure::Prompt, 12)]);
        assert_eq!((usage.prompt_tokens(), usage.completion_tokens()), (Some(12), None));
        assert_eq!((usage.get(Part::Input), usage.get(Part::CacheRead)), (Some(12), None));
        assert!(Figures::default().usage().is_empty());
    }

    #[test]
    fn a_part_that_is_larger_than_its_whole_is_cut() {
        let usage = usage(&[(Figure::Prompt, 10), (Figure::Cached, 8), (Figure::AudioIn, 5), (Figure::Completion, 3)]);
        let parts = [Part::Input, Part::CacheRead, Part::AudioIn].map(|part| usage.count(part));
        assert_eq!(parts, [0, 8, 2], "audio that is cached is in both figures");
        assert_eq!(usage.tokens(), (10, 3));
    }

    #[test]
    fn sums_of_usages_are_sums_of_parts() {
        let mut sum = usage(&[(Figure::Prompt, 10), (Figure::Cached, 4)]);
        sum.add(&Usage { reported: Some(Nano(7)), ..usage(&[(Figure::Prompt, 1), (Figure::Completion, 2)]) });
        assert_eq!((sum.tokens(), sum.count(Part::CacheRead), sum.reported), ((11, 2), 4, Some(Nano(7))));
    }

    proptest! {
        #[test]
        fn the_parts_of_a_prompt_and_of_an_answer_are_their_wholes(
            prompt in 0_u64..1000, answer in 0_u64..1000, said in proptest::collection::vec(0_u64..2000, 8),
        ) {
            let [cached, written, audio, image, reasoning, spoken, drawn, hour] = said[..] else { unreachable!() };
            let openai = usage(&[
                (Figure::Prompt, prompt), (Figure::Cached, cached), (Figure::Written, written),
                (Figure::AudioIn, audio), (Figure::ImageIn, image), (Figure::Completion, answer),
                (Figure::Reasoning, reasoning), (Figure::AudioOut, spoken), (Figure::ImageOut, drawn),
                (Figure::Total, prompt + answer),
            ]);
            prop_assert_eq!(openai.prompt_tokens(), Some(prompt));
            prop_assert_eq!(openai.completion_tokens(), Some(answer));
            prop_assert_eq!(openai.total(), prompt + answer);
            let anthropic = usage(&[
                (Figure::Input, prompt), (Figure::CacheRead, cached), (Figure::CacheCreation, written),
                (Figure::Hour, hour.min(written)), (Figure::Output, answer),
            ]);
            prop_assert_eq!(anthropic.prompt_tokens(), Some(prompt + cached + written));
            prop_assert_eq!(anthropic.get(Part::Input), Some(prompt));
            let gemini = usage(&[
                (Figure::GeminiPrompt, prompt), (Figure::Cached, cached), (Figure::GeminiAnswer, answer),
                (Figure::GeminiThoughts, reasoning), (Figure::Total, prompt + answer + reasoning),
            ]);
            prop_assert_eq!(gemini.total(), prompt + answer + reasoning);
        }

        #[test]
        fn whatever_is_said_the_parts_can_be_told(said in proptest::collection::vec((0..FIGURES, any::<u64>()), 0..30)) {
            let mut all = Figures::default();
            for (place, value) in said {
                all.values[place] = u32::try_from(value).unwrap_or(u32::MAX);
                all.known |= 1 << place;
            }
            let usage = all.usage();
            prop_assert_eq!(usage.total(), usage.prompt_tokens().unwrap_or(0) + usage.completion_tokens().unwrap_or(0));
        }
    }
}
