//! The cookies of an instance, by RFC 6265: which a response sets, and which a request is sent with.
//!
//! There is no list of public suffixes: a site under `co.uk` could set a cookie for all of `co.uk`. A domain of one
//! label is refused.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::url::Url;

/// The most cookies of an instance, and of a domain (RFC 6265, section 6.1, asks for at least 3,000 and 50).
const MOST: usize = 3_000;
const MOST_OF_DOMAIN: usize = 180;

/// The most bytes of a name and a value together.
const LARGEST: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    domain: String,
    /// Whether hosts beneath the domain get it too.
    is_for_all: bool,
    path: String,
    is_secure: bool,
    /// When it ends; `None` if it lasts as long as the instance.
    end: Option<SystemTime>,
}

thread_local! {
    // A component's instance has one thread; natively, each test has its own. The order is that of creation.
    static JAR: RefCell<Vec<Cookie>> = const { RefCell::new(Vec::new()) };
}

/// Forgets all cookies of this instance: the next operation is a new visitor.
pub fn clear() {
    JAR.with_borrow_mut(Vec::clear);
}

/// The cookies of this instance, by name, that a request to `url` would be sent with; none if `url` is no URL.
pub fn kept(url: &str) -> Vec<(String, String)> {
    Url::parse(url).map(|url| fitting(&url)).unwrap_or_default()
}

/// The cookies for a request, those of the longest path first (RFC 6265, section 5.4).
fn fitting(url: &Url) -> Vec<(String, String)> {
    let path = path_of(url);
    JAR.with_borrow_mut(|jar| {
        if jar.iter().any(|cookie| cookie.end.is_some()) {
            let now = SystemTime::now();
            jar.retain(|cookie| cookie.end.is_none_or(|end| end > now));
        }
        let mut fitting: Vec<&Cookie> = jar
            .iter()
            .filter(|cookie| {
                let is_host = url.host() == cookie.domain;
                let host_fits = is_host || cookie.is_for_all && is_beneath(url.host(), &cookie.domain);
                host_fits && path_fits(path, &cookie.path) && (url.is_tls || !cookie.is_secure)
            })
            .collect();
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        fitting.into_iter().map(|cookie| (cookie.name.clone(), cookie.value.clone())).collect()
    })
}

/// What a request to `url` says in its `Cookie` header.
pub(super) fn of(url: &Url) -> Option<String> {
    // Mostly there is none.
    if JAR.with_borrow(Vec::is_empty) {
        return None;
    }
    let pairs: Vec<_> = fitting(url).iter().map(|(name, value)| format!("{name}={value}")).collect();
    (!pairs.is_empty()).then(|| pairs.join("; "))
}

/// The one `Cookie` header of a request to `url`: the cookies that it brings, then kept ones that it does not name.
pub(super) fn merged(own: Option<&str>, url: &Url) -> Option<String> {
    let kept = of(url);
    let Some(own) = own else { return kept };
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().trim().to_owned();
    let named: Vec<_> = own.split(';').map(name).collect();
    let others = kept.iter().flat_map(|kept| kept.split("; ")).filter(|pair| !named.contains(&name(pair)));
    Some(std::iter::once(own).chain(others).collect::<Vec<_>>().join("; "))
}

/// Keeps what a response from `url` says in a `Set-Cookie` header (RFC 6265, sections 5.2 and 5.3).
pub(super) fn keep(url: &Url, set_cookie: &str) {
    let Some(cookie) = Cookie::of(url, set_cookie, SystemTime::now()) else { return };
    let is_over = cookie.end.is_some_and(|end| end <= SystemTime::now());
    JAR.with_borrow_mut(|jar| {
        let is_same =
            |known: &Cookie| (&known.name, &known.domain, &known.path) == (&cookie.name, &cookie.domain, &cookie.path);
        match jar.iter().position(is_same) {
            Some(at) if is_over => drop(jar.remove(at)),
            // It keeps its place, which is the time of its creation.
            Some(at) => jar[at] = cookie,
            None if is_over => {}
            None => {
                let of_domain = |known: &Cookie| known.domain == cookie.domain;
                let oldest = if jar.iter().filter(|known| of_domain(known)).count() >= MOST_OF_DOMAIN {
                    jar.iter().position(of_domain)
                } else {
                    (jar.len() >= MOST).then_some(0)
                };
                oldest.map(|at| jar.remove(at));
                jar.push(cookie);
            }
        }
    });
}

impl Cookie {
    /// The cookie that `set_cookie` describes; `None` if it must be ignored.
    fn of(url: &Url, set_cookie: &str, now: SystemTime) -> Option<Self> {
        let mut parts = set_cookie.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty()
            || name.len() + value.len() > LARGEST
            || set_cookie.chars().any(|c| c.is_control() && c != '\t')
        {
            return None;
        }
        let mut cookie = Self {
            name: name.to_owned(),
            value: value.to_owned(),
            domain: url.host().to_owned(),
            is_for_all: false,
            path: default_path(url),
            is_secure: false,
            end: None,
        };
        let mut max_age = None;
        for part in parts {
            let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match attribute.trim().to_ascii_lowercase().as_str() {
                "domain" => {
                    let domain = value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase();
                    cookie.is_for_all = !domain.is_empty() && domain != url.host() || is_name(&domain);
                    cookie.domain = if domain.is_empty() { url.host().to_owned() } else { domain };
                }
                "path" => cookie.path = if value.starts_with('/') { value.to_owned() } else { default_path(url) },
                "secure" => cookie.is_secure = true,
                "expires" => cookie.end = date(value).or(cookie.end),
                "max-age" => max_age = age(value).or(max_age),
                _ => {}
            }
        }
        // `Max-Age` counts before `Expires`, whatever their order.
        if let Some(age) = max_age {
            cookie.end =
                if age == 0 { Some(SystemTime::UNIX_EPOCH) } else { now.checked_add(Duration::from_secs(age)) };
        }
        let is_of_host = cookie.domain == url.host();
        if !is_of_host && !is_beneath(url.host(), &cookie.domain) {
            return None;
        }
        cookie.is_for_all &= is_name(&cookie.domain);
        Some(cookie)
    }
}

/// The seconds of a `Max-Age`, 0 if it is over; `None` if it is no number.
fn age(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // What is too large is longer than any run.
    Some(if text.starts_with('-') { 0 } else { digits.parse().unwrap_or(u64::from(u32::MAX)).min(u64::from(u32::MAX)) })
}

/// The date of a cookie, in any of the forms of RFC 6265, section 5.1.1.
fn date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|word| !word.is_empty());
    for word in words {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let number = || word[..digits].parse::<u32>().ok();
        if time.is_none() && word.matches(':').count() == 2 {
            let parts: Vec<u32> = word.split(':').filter_map(|part| part.parse().ok()).collect();
            time = <[u32; 3]>::try_from(parts).ok();
        } else if day.is_none() && (1..=2).contains(&digits) {
            day = number();
        } else if month.is_none() && digits == 0 && word.len() >= 3 {
            month = MONTHS.into_iter().find(|month| word.is_char_boundary(3) && word[..3].eq_ignore_ascii_case(month));
        } else if year.is_none() && (2..=4).contains(&digits) {
            year = number();
        }
    }
    let ([hour, minute, second], year) = (time?, year?);
    let year = match year {
        0..=69 => year + 2_000,
        70..=99 => year + 1_900,
        year => year,
    };
    let rest = format!("{:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT", day?, month?);
    // The day of the week does not count, and the library takes the right one only.
    let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    days.iter().find_map(|day| httpdate::parse_http_date(&format!("{day}, {rest}")).ok())
}

/// Whether the text is a name of more than one label, and no address.
fn is_name(domain: &str) -> bool {
    domain.contains('.') && domain.parse::<IpAddr>().is_err() && !domain.starts_with('[')
}

/// Whether `host` is beneath `domain`.
fn is_beneath(host: &str, domain: &str) -> bool {
    is_name(domain) && is_name(host) && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

fn path_fits(path: &str, of_cookie: &str) -> bool {
    path.strip_prefix(of_cookie)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || of_cookie.ends_with('/'))
}

fn path_of(url: &Url) -> &str {
    url.path.split('?').next().unwrap_or_default()
}

fn default_path(url: &Url) -> String {
    match path_of(url).rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((directory, _)) => directory.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_any_form_are_read() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        for (text, wanted) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", at(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", at(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", at(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", at(784_111_777)),
            ("Sun, 06-Nov-1994 08:49:37 GMT", at(784_111_777)),
            ("Sun, 6 nov 94 8:49:37", at(784_111_777)),
            ("Thu, 19 Nov 2026 19:19:19 GMT", at(1_795_115_959)),
            ("Fri, 31 Dec 2038 23:59:59 GMT", at(2_177_452_799)),
            ("tomorrow", None),
            ("06 Nov 1994", None),
            ("Sun, 06 Nov 1994 25:00:00 GMT", None),
        ] {
            assert_eq!(date(text), wanted, "{text}");
        }
    }

    /// A session cookie of an hour, set at each hour of a year, is there for half an hour and gone after two.
    #[test]
    fn a_cookie_lasts_at_every_hour_of_a_year() {
        let url = Url::parse("http://shop.example/").unwrap();
        for hour in 0..24 * 366 {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + hour * 3_600);
            let end = httpdate::fmt_http_date(now + Duration::from_secs(3_600));
            for end in [end.clone(), end.replacen(' ', "-", 3).replacen("-", " ", 1)] {
                let cookie = Cookie::of(&url, &format!("sid=7; Expires={end}; Path=/"), now).unwrap();
                let left = cookie.end.map(|end| end.duration_since(now).unwrap());
                assert_eq!(left, Some(Duration::from_secs(3_600)), "{end}");
            }
        }
    }

    #[test]
    fn rules_of_rfc_6265() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_115_959);
        let past = "Thu, 01 Jan 1970 00:00:00 GMT";
        let set = |from: &str, text: &str| {
            let cookie = Cookie::of(&Url::parse(from).unwrap(), text, now)?;
            let dot = if cookie.is_for_all { "." } else { "" };
            let left = cookie.end.map_or("session".to_owned(), |end| {
                end.duration_since(now).map_or("over".to_owned(), |left| left.as_secs().to_string())
            });
            Some(format!("{}={} {dot}{}{} {left}", cookie.name, cookie.value, cookie.domain, cookie.path))
        };
        for (from, text, wanted) in [
            ("http://a.example.com/x/y", "n=v", Some("n=v a.example.com/x session")),
            ("http://a.example.com/x/y", " n = v w ; Path=/q", Some("n=v w a.example.com/q session")),
            ("http://a.example.com/x", "n=a=b; path=q", Some("n=a=b a.example.com/ session")),
            ("http://a.example.com/x", "n=v; Domain=.Example.com", Some("n=v .example.com/ session")),
            ("http://a.example.com/x", "n=v; Domain=a.example.com", Some("n=v .a.example.com/ session")),
            ("http://a.example.com/x", "n=v; Domain=", Some("n=v a.example.com/ session")),
            ("http://a.example.com/x", "n=v; Domain=b.example.com", None),
            ("http://a.example.com/x", "n=v; Domain=xa.example.com", None),
            ("http://a.example.com/x", "n=v; Domain=com", None),
            ("http://localhost/x", "n=v; Domain=localhost", Some("n=v localhost/ session")),
            ("http://127.0.0.1/x", "n=v; Domain=127.0.0.1", Some("n=v 127.0.0.1/ session")),
            ("http://127.0.0.1/x", "n=v; Domain=0.0.1", None),
            ("http://h/", "n=v; Max-Age=60; Expires=PAST", Some("n=v h/ 60")),
            ("http://h/", "n=v; Expires=PAST; Max-Age=60", Some("n=v h/ 60")),
            ("http://h/", "n=v; Max-Age=0", Some("n=v h/ over")),
            ("http://h/", "n=v; Max-Age=-1", Some("n=v h/ over")),
            ("http://h/", "n=v; Max-Age=1h", Some("n=v h/ session")),
            ("http://h/", "n=v; Max-Age=99999999999999999999", Some("n=v h/ 4294967295")),
            ("http://h/", "n=v; Expires=PAST", Some("n=v h/ over")),
            ("http://h/", "n=v; Expires=soon", Some("n=v h/ session")),
            ("http://h/", "n=; HttpOnly; SameSite=Lax", Some("n= h/ session")),
            ("http://h/", "=v", None),
            ("http://h/", "n", None),
            ("http://h/", "n=a\u{1}b", None),
        ] {
            let text = text.replace("PAST", past);
            assert_eq!(set(from, &text).as_deref(), wanted, "{text} from {from}");
        }
        assert_eq!(set("http://h/", &format!("n={}", "v".repeat(5_000))), None);
    }

    #[test]
    fn the_jar_is_bounded_and_in_order() {
        clear();
        let url = Url::parse("http://a.example.com/x/y").unwrap();
        (0..1_000).for_each(|i| keep(&url, &format!("c{i}={i}; Path=/")));
        let kept = fitting(&url);
        assert_eq!((kept.len(), kept[0].0.as_str()), (MOST_OF_DOMAIN, "c820"));
        clear();
        keep(&url, "a=1; Path=/");
        keep(&url, "b=2; Path=/x");
        keep(&url, "c=3; Path=/");
        keep(&url, "a=4; Path=/");
        assert_eq!(of(&url).as_deref(), Some("b=2; a=4; c=3"));
        for i in 0..100 {
            (0..50).for_each(|j| keep(&Url::parse(&format!("http://h{i}.example/")).unwrap(), &format!("c{j}=1")));
        }
        assert_eq!(JAR.with_borrow(Vec::len), MOST);
        clear();
    }
}
