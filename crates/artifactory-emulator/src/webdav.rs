//! What of `WebDAV` there is: MKCOL, PROPFIND and MOVE, in every edition.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};

use crate::api::{empty_answer, wrong_method};
use crate::call::Call;
use crate::clock::{http_date, iso};
use crate::counters::Kind;
use crate::deploy::{check_deploy, check_excludes, local_of};
use crate::error::{Answer, Failure};
use crate::path::{Target, encode, validate};
use crate::state::Item;

/// A method that is none of HTTP's own.
pub(crate) async fn dispatch(call: &mut Call) -> Answer {
    call.shared.tally.count(Kind::Other);
    let mut target = Target::parse(&call.path)?;
    match call.method.as_str() {
        "MKCOL" => make_folder(call, &mut target).await,
        "PROPFIND" => find(call, &target).await,
        "MOVE" => move_item(call, &target),
        "OPTIONS" => Ok(options()),
        _ => Err(wrong_method()),
    }
}

fn options() -> Response<Body> {
    let mut response = empty_answer(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static("OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, PROPFIND, MOVE"));
    headers.insert("dav", HeaderValue::from_static("1"));
    response
}

async fn make_folder(call: &mut Call, target: &mut Target) -> Answer {
    if !call.body.text().await?.is_empty() {
        return Err(Failure::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    target.repo = local_of(call, &target.repo)?;
    check_deploy(call, target)?;
    if !target.path.is_empty() {
        validate(&target.path)?;
        check_excludes(call, target)?;
    }
    let mut state = call.shared.write();
    if state.item(&target.repo, &target.path).is_some() {
        return Err(wrong_method());
    }
    // RFC 4918: the parent has to be there.
    let parent = target.path.rsplit_once('/').map_or("", |(parent, _)| parent);
    if state.item(&target.repo, parent).is_none_or(|item| item.file.is_some()) {
        return Err(Failure::conflict(format!("The parent of {} is no folder", target.id())));
    }
    state.put(&target.repo, &target.path, Item::folder(&call.who.name))?;
    Ok(empty_answer(StatusCode::CREATED))
}

async fn find(call: &mut Call, target: &Target) -> Answer {
    call.body.swallow().await;
    crate::storage_api::check_read(call, target)?;
    let state = call.shared.read();
    let Some((repo, item)) = state.find(target) else {
        return Err(Failure::not_found(format!("File not found.; Path: '{}'", target.id())));
    };
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<D:multistatus xmlns:D=\"DAV:\">\n");
    describe(call, &mut text, target, item);
    if call.header("depth") != Some("0") && item.file.is_none() {
        let repository = &state.repositories[repo];
        for name in repository.children(&target.path).keys() {
            let path = if target.path.is_empty() { name.clone() } else { format!("{}/{name}", target.path) };
            if let Some(item) = repository.items.get(&path) {
                describe(call, &mut text, &Target { path, ..target.clone() }, item);
            }
        }
    }
    text.push_str("</D:multistatus>\n");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::MULTI_STATUS;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml;charset=UTF-8"));
    Ok(response)
}

fn describe(call: &Call, text: &mut String, target: &Target, item: &Item) {
    let url = format!("{}/{}/{}", call.base, encode(&target.repo), encode(&target.path));
    let slash = if item.file.is_none() && !url.ends_with('/') { "/" } else { "" };
    let kind = if item.file.is_none() { "<D:collection/>" } else { "" };
    let created = iso(item.details.created);
    let modified = http_date(item.details.modified);
    let _ = writeln!(
        text,
        "<D:response><D:href>{url}{slash}</D:href><D:propstat><D:prop><D:resourcetype>{kind}</D:resourcetype>\
         <D:creationdate>{created}</D:creationdate><D:getlastmodified>{modified}</D:getlastmodified>"
    );
    if let Some(file) = &item.file {
        let digests = &file.blob.digests;
        let _ = writeln!(
            text,
            "<D:getcontentlength>{}</D:getcontentlength><D:getetag>{}</D:getetag><D:getcontenttype>{}</D:getcontenttype>",
            digests.size,
            digests.sha1,
            crate::mime::of(&target.path)
        );
    }
    text.push_str("</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\n");
}

/// MOVE with a `Destination` below this server's context.
fn move_item(call: &Call, from: &Target) -> Answer {
    let destination = call.header("destination").unwrap_or_default();
    let place = destination.strip_prefix(&call.base).filter(|place| place.starts_with('/'));
    let Some(place) = place else {
        return Err(Failure::bad_request("The header Destination names no item of this server"));
    };
    let to = Target::parse(place)?;
    crate::copy::move_exactly(call, from, &to)?;
    Ok(empty_answer(StatusCode::CREATED))
}
