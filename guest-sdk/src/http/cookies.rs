//! The cookies of an instance.
//!
//! As much of RFC 6265 as a flow needs: name, value, domain, path, `Secure`, and deletion by `Max-Age` or by a date in
//! the past. Any other cookie lasts as long as the instance.

use std::cell::RefCell;

use super::url::Url;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    domain: String,
    /// Whether hosts beneath the domain get it too.
    is_for_all: bool,
    path: String,
    is_secure: bool,
}

thread_local! {
    // A component's instance has one thread; natively, each test has its own.
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

fn fitting(url: &Url) -> Vec<(String, String)> {
    let path = url.path.split('?').next().unwrap_or_default();
    JAR.with_borrow(|jar| {
        let fitting = jar.iter().filter(|cookie| {
            let host_fits = url.host() == cookie.domain || cookie.is_for_all && is_beneath(url.host(), &cookie.domain);
            host_fits && path_fits(path, &cookie.path) && (url.is_tls || !cookie.is_secure)
        });
        fitting.map(|cookie| (cookie.name.clone(), cookie.value.clone())).collect()
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

/// Keeps what a response from `url` says in a `Set-Cookie` header.
pub(super) fn keep(url: &Url, set_cookie: &str) {
    let mut parts = set_cookie.split(';').map(str::trim);
    let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
    let mut cookie = Cookie {
        name: name.trim().to_owned(),
        value: value.trim().to_owned(),
        domain: url.host().to_owned(),
        is_for_all: false,
        path: default_path(url),
        is_secure: false,
    };
    let mut is_over = false;
    for part in parts {
        let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
        match attribute.to_ascii_lowercase().as_str() {
            "domain" if !value.is_empty() => {
                let domain = value.trim_start_matches('.').to_ascii_lowercase();
                if domain != url.host() && !is_beneath(url.host(), &domain) {
                    return;
                }
                (cookie.domain, cookie.is_for_all) = (domain, true);
            }
            "path" if value.starts_with('/') => cookie.path = value.to_owned(),
            "secure" => cookie.is_secure = true,
            // Nobody sets a cookie with a date of the last century but to delete it.
            "expires" => is_over |= value.contains(" 19") || value.contains("-19") || value.contains("-70 "),
            "max-age" => is_over = value.parse::<i64>().is_ok_and(|seconds| seconds <= 0),
            _ => {}
        }
    }
    JAR.with_borrow_mut(|jar| {
        jar.retain(|known| (&known.name, &known.domain, &known.path) != (&cookie.name, &cookie.domain, &cookie.path));
        if !is_over {
            jar.push(cookie);
        }
    });
}

fn is_beneath(host: &str, domain: &str) -> bool {
    domain.contains('.') && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

fn path_fits(path: &str, of_cookie: &str) -> bool {
    path.strip_prefix(of_cookie)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || of_cookie.ends_with('/'))
}

fn default_path(url: &Url) -> String {
    let path = url.path.split('?').next().unwrap_or_default();
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((directory, _)) => directory.to_owned(),
    }
}
