//! How input and output become one text.

use std::fmt;

/// How input and output become one text, and where in it the prompt ends.
///
/// A tokenizer may put characters of both parts into one token. Tokenize the whole text, and count a token as prompt if it ends no
/// later than the prompt does; or tokenize both parts, and know that a model generates after the prompt's own tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Join {
    /// The output follows after one space, which belongs to the answer: training on LUME, where generation begins after the input
    /// unchanged.
    Space,
    /// The output follows at once: the losses of the script of SemEval-2025 Task 4, and texts without an input.
    None,
    /// `Question: q`, a new line, `Answer:`, then a space and the output: TOFU with Phi, and MUSE.
    ///
    /// The code of TOFU counts `Answer: ` as part of the answer in training; here it is part of the prompt, as in generation, but for its
    /// space: tokenizers put that into the first token of the answer, and a prompt that ends in it was never seen in training.
    QuestionAnswer,
    /// `[INST] q [/INST]`, then the output at once: TOFU with Llama 2.
    Llama2,
    /// A turn of the user and one of the assistant between `<|im_start|>` and `<|im_end|>`, as instruction-tuned SmolLM2 and Qwen
    /// have them; no system message.
    ChatMl,
}

impl Join {
    /// Prompt and answer; the text is the one followed by the other. An empty input gives an empty prompt, so that the output is
    /// learned whole.
    ///
    /// # Source
    /// Templates of the code of arXiv 2401.06121 (TOFU), 2504.02883 (SemEval-2025 Task 4), 2407.06460 (MUSE).
    #[must_use]
    pub fn parts(self, input: &str, output: &str) -> (String, String) {
        if input.is_empty() {
            return (String::new(), output.to_string());
        }
        match self {
            Join::Space => (input.to_string(), format!(" {output}")),
            Join::None => (input.to_string(), output.to_string()),
            Join::QuestionAnswer => (format!("Question: {input}\nAnswer:"), format!(" {output}")),
            Join::Llama2 => (format!("[INST] {input} [/INST]"), output.to_string()),
            Join::ChatMl => (
                format!("<|im_start|>user\n{input}<|im_end|>\n<|im_start|>assistant\n"),
                format!("{output}<|im_end|>"),
            ),
        }
    }

    /// What stands between a prompt and the output, and is learned with it: not part of what a model says.
    #[must_use]
    pub fn gap(self) -> &'static str {
        match self {
            Join::Space | Join::QuestionAnswer => " ",
            Join::None | Join::Llama2 | Join::ChatMl => "",
        }
    }

    /// The whole text.
    #[must_use]
    pub fn text(self, input: &str, output: &str) -> String {
        let (prompt, answer) = self.parts(input, output);
        prompt + &answer
    }

    /// All of them.
    pub const ALL: [Join; 5] =
        [Join::Space, Join::None, Join::QuestionAnswer, Join::Llama2, Join::ChatMl];
}

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Join::Space => "space",
            Join::None => "none",
            Join::QuestionAnswer => "question-answer",
            Join::Llama2 => "llama2",
            Join::ChatMl => "chatml",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_benchmarks() {
        for (join, text) in [
            (Join::Space, "q a"),
            (Join::None, "qa"),
            (Join::QuestionAnswer, "Question: q\nAnswer: a"),
            (Join::Llama2, "[INST] q [/INST]a"),
            (Join::ChatMl, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>"),
        ] {
            assert_eq!(join.text("q", "a"), text, "{join}");
        }
    }

    #[test]
    fn the_prompt_does_not_depend_on_the_answer() {
        for join in Join::ALL {
            let (prompt, _) = join.parts("q", "a");
            assert_eq!(join.parts("q", "bc").0, prompt);
            assert!(prompt.contains('q') && !prompt.contains("bc"));
            // A space at the end of a prompt would be another token than it is in the text.
            assert!(!prompt.ends_with(' '));
            assert!(join.parts("q", "a").1.starts_with(&format!("{}a", join.gap())));
            assert_eq!(join.parts("", "bc"), (String::new(), "bc".to_string()));
        }
    }
}
