//! The options of curl.

/// What an option of curl does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Method,
    Header,
    /// Adds to the body: as it is but for line breaks of files, as it is, or encoded.
    Data,
    Raw,
    Binary,
    Encoded,
    Json,
    Field,
    FieldText,
    User,
    Bearer,
    Cookie,
    Agent,
    Referer,
    MaxRedirects,
    Range,
    Query,
    Get,
    Head,
    Follow,
    Compressed,
    Url,
    Next,
    /// Nothing that is sent; without a value, or with one.
    Nothing,
    NothingWith,
    /// What the flag of Gorgon does.
    Flag(&'static str),
    FlagWith(&'static str),
}

/// The options that are known: the letter, the name, and what it does.
const OPTIONS: &[(char, &str, Does)] = &[
    ('X', "request", Does::Method),
    ('H', "header", Does::Header),
    ('d', "data", Does::Data),
    (' ', "data-ascii", Does::Data),
    (' ', "data-raw", Does::Raw),
    (' ', "data-binary", Does::Binary),
    (' ', "data-urlencode", Does::Encoded),
    (' ', "json", Does::Json),
    ('F', "form", Does::Field),
    (' ', "form-string", Does::FieldText),
    ('u', "user", Does::User),
    (' ', "oauth2-bearer", Does::Bearer),
    ('b', "cookie", Does::Cookie),
    ('A', "user-agent", Does::Agent),
    ('e', "referer", Does::Referer),
    ('r', "range", Does::Range),
    (' ', "url-query", Does::Query),
    ('G', "get", Does::Get),
    ('I', "head", Does::Head),
    ('L', "location", Does::Follow),
    (' ', "compressed", Does::Compressed),
    (' ', "url", Does::Url),
    (':', "next", Does::Next),
    ('s', "silent", Does::Nothing),
    ('S', "show-error", Does::Nothing),
    ('v', "verbose", Does::Nothing),
    ('i', "include", Does::Nothing),
    (' ', "show-headers", Does::Nothing),
    ('f', "fail", Does::Nothing),
    (' ', "fail-with-body", Does::Nothing),
    ('g', "globoff", Does::Nothing),
    ('N', "no-buffer", Does::Nothing),
    ('#', "progress-bar", Does::Nothing),
    (' ', "no-progress-meter", Does::Nothing),
    ('O', "remote-name", Does::Nothing),
    ('J', "remote-header-name", Does::Nothing),
    ('R', "remote-time", Does::Nothing),
    ('Z', "parallel", Does::Nothing),
    (' ', "basic", Does::Nothing),
    (' ', "http1.1", Does::Nothing),
    (' ', "tcp-nodelay", Does::Nothing),
    (' ', "ssl-no-revoke", Does::Nothing),
    ('4', "ipv4", Does::Nothing),
    ('6', "ipv6", Does::Nothing),
    ('q', "disable", Does::Nothing),
    ('o', "output", Does::NothingWith),
    (' ', "output-dir", Does::NothingWith),
    ('w', "write-out", Does::NothingWith),
    ('D', "dump-header", Does::NothingWith),
    ('c', "cookie-jar", Does::NothingWith),
    (' ', "stderr", Does::NothingWith),
    (' ', "trace", Does::NothingWith),
    (' ', "trace-ascii", Does::NothingWith),
    (' ', "max-redirs", Does::MaxRedirects),
    (' ', "keepalive-time", Does::NothingWith),
    ('k', "insecure", Does::Flag("--insecure")),
    (' ', "http2", Does::Flag("--http2")),
    (' ', "http2-prior-knowledge", Does::Flag("--http2")),
    (' ', "no-keepalive", Does::Flag("--no-keepalive")),
    ('m', "max-time", Does::FlagWith("--timeout")),
    (' ', "connect-timeout", Does::FlagWith("--timeout")),
    (' ', "cacert", Does::FlagWith("--ca-cert")),
    (' ', "retry", Does::FlagWith("-n")),
    (' ', "retry-delay", Does::NothingWith),
    (' ', "retry-max-time", Does::NothingWith),
];

impl Does {
    /// Whether a value stands behind the option.
    pub(super) fn has_value(self) -> bool {
        !matches!(
            self,
            Self::Get | Self::Head | Self::Follow | Self::Compressed | Self::Next | Self::Nothing | Self::Flag(_)
        )
    }
}

/// What the long option does.
pub(super) fn named(long: &str) -> Option<Does> {
    OPTIONS.iter().find(|(_, name, _)| *name == long).map(|(.., does)| *does)
}

/// What the short option does.
pub(super) fn of_letter(letter: char) -> Option<Does> {
    OPTIONS.iter().find(|(known, ..)| *known == letter && letter != ' ').map(|(.., does)| *does)
}
