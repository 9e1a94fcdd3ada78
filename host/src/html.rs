//! The little that pages are made of.

/// As text in a page: names are the user's, but whatever they hold must not become markup.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
