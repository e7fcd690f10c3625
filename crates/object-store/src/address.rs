//! Addresses of objects, and what is in their queries.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is encoded in a value of a query: all but what stands for itself everywhere (RFC 3986, section 2.3).
pub const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is encoded in the path of a key, whose slashes are slashes.
pub const KEY: &AsciiSet = &VALUE.remove(b'/');

/// The address with more pairs in its query, whose values are encoded here.
pub fn with_query<'a>(address: &str, pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut address = address.to_owned();
    for (name, value) in pairs {
        address.push(if address.contains('?') { '&' } else { '?' });
        address.extend([name, "="]);
        address.extend(utf8_percent_encode(&value, VALUE));
    }
    address
}

/// Whether a query has a parameter of this name, with a value or without.
pub fn has_parameter(query: &str, name: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some(name))
}
