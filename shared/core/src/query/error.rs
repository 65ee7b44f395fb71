//! What is wrong with the text of a filter, told so that its author can mend it.

/// A filter that cannot be understood, or that does not fit the columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SyntaxError {
    /// A sentence for the client that names what and where: `unknown column "orgin" at position 1; did you mean
    /// "origin"?`. Positions in sentences count from 1.
    pub detail: String,
    /// Where in the text, in characters from 0, where that is known.
    pub offset: Option<usize>,
}

impl SyntaxError {
    /// An error that concerns the text as a whole.
    pub(super) fn whole(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), offset: None }
    }

    /// An error told in few words, at a character.
    pub(super) fn at(offset: usize, detail: impl std::fmt::Display) -> Self {
        Self { detail: format!("{detail} at position {}", offset + 1), offset: Some(offset) }
    }

    /// An error told in a whole sentence, at a character.
    pub(super) fn sentence(offset: usize, detail: impl std::fmt::Display) -> Self {
        Self { detail: format!("{detail} (at position {})", offset + 1), offset: Some(offset) }
    }

    /// The error with advice after the place.
    pub(super) fn advise(mut self, advice: impl std::fmt::Display) -> Self {
        self.detail += &format!("; {advice}");
        self
    }
}

/// The client's own words in quotes, cut where they are long: a sentence stays a sentence.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}
