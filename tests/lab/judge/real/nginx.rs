//! nginx, configured as the judge's file says, from stage 10 on. (For the stages before
//! there is `nginx.sh`.)

use std::fmt::Write;
use std::path::Path;

use super::file::{File, Limit, Listener, Pair, Pool, Route};

/// Its configuration. `fault` is `right`, or a mistake that people make with nginx.
///
/// # Panics
///
/// There is no such mistake, or the file asks for more than nginx can do.
pub fn configuration(file: &File, fault: &str, folder: &Path) -> String {
    let mistakes = [
        "right",
        "no-nodelay",
        "no-burst",
        "own-status",
        "key-with-port",
        "no-weights",
        "by-chance",
        "by-uri",
        "not-consistent",
        "no-limit",
        "next-after-timeout",
        "no-keepalive",
        "one-certificate",
        "wide-wildcard",
        "old-versions",
        "no-http2",
        "believes-the-client",
        "moved-301",
        "only-its-own-field",
        "underscores",
        "credential-goes-on",
        "fast-stop",
        "no-shutdown-timeout",
    ];
    assert!(mistakes.contains(&fault), "no such fault: {fault}");
    let mut text = String::new();
    let folder = folder.display();
    match &file.shutdown {
        // Only a worker finishes what it has.
        Some(shutdown) => {
            let _ = writeln!(text, "user root;");
            if fault != "no-shutdown-timeout" {
                let _ = writeln!(text, "worker_shutdown_timeout {};", shutdown.drain);
            }
        }
        None => text += "master_process off;\n",
    }
    let _ = writeln!(
        text,
        "daemon off;\nworker_processes 1;\npid {folder}/pid;\n\
         error_log stderr crit;\nevents {{ worker_connections 1024; }}\nhttp {{\n\
         access_log off;\nclient_max_body_size 0;"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "{kind}_temp_path {folder}/{kind};");
    }
    for (name, limit) in &file.rate_limit {
        text += &zone(name, limit, fault);
    }
    text += &file.pool.iter().map(|pool| upstream(pool, fault)).collect::<String>();
    if fault == "believes-the-client" {
        text += "map $http_x_forwarded_proto $proto { default $http_x_forwarded_proto; \"\" $scheme; }\n";
    } else {
        text += "map $scheme $proto { default $scheme; }\n";
    }
    text += "map $http_upgrade $changes { default upgrade; \"\" \"\"; }\n";
    text += "server_names_hash_bucket_size 128;\n";
    text += &file.listener.iter().map(|one| servers(file, one, fault)).collect::<String>();
    text + "}\n"
}

/// What is at one address: a server for all, and one for each name for which there is anything
/// of its own, be it a certificate or a route.
fn servers(file: &File, listener: &Listener, fault: &str) -> String {
    let address = &listener.address;
    if let Some(port) = listener.redirect_to_https {
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let status = if fault == "moved-301" { 301 } else { 308 };
        return format!(
            "server {{\nlisten {address};\nreturn {status} https://$host{port}$request_uri;\n}}\n"
        );
    }
    let pairs = listener.tls.iter().flat_map(|tls| &tls.certificates);
    let named =
        pairs.clone().flat_map(|pair| pair.names().into_iter().map(move |name| (name, Some(pair))));
    let mut named: Vec<_> = named.collect();
    for host in file.route.iter().flat_map(|route| &route.hosts) {
        if !named.iter().any(|(name, _)| name == host) {
            named.push((host.clone(), None));
        }
    }
    let first = pairs.clone().next();
    let all = server(file, listener, first, None, fault);
    let each = named.iter().map(|(name, pair)| {
        let pair = pair.filter(|_| fault != "one-certificate").or(first);
        server(file, listener, pair, Some(name), fault)
    });
    all + &each.collect::<String>()
}

fn server(
    file: &File,
    listener: &Listener,
    pair: Option<&Pair>,
    name: Option<&str>,
    fault: &str,
) -> String {
    let http2 = if fault == "no-http2" { "" } else { " http2" };
    let tls = pair.map_or(String::new(), |_| format!(" ssl{http2}"));
    let default = if name.is_none() { " default_server" } else { "" };
    let mut text = format!("server {{\nlisten {}{tls}{default};\n", listener.address);
    let _ = match (name, name.and_then(|name| name.strip_prefix("*."))) {
        // Its own wildcards are for any number of labels.
        (_, Some(domain)) if fault != "wide-wildcard" => {
            let domain = domain.replace('.', "\\.");
            writeln!(text, "server_name \"~^[^.]+\\.{domain}$\";")
        }
        (Some(name), _) => writeln!(text, "server_name {name};"),
        (None, _) => Ok(()),
    };
    if let Some(Pair { certificate, key }) = pair {
        let versions = match fault {
            "old-versions" => "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;\nssl_ciphers DEFAULT:@SECLEVEL=0",
            _ => "TLSv1.2 TLSv1.3",
        };
        let _ = writeln!(
            text,
            "ssl_certificate {certificate};\nssl_certificate_key {key};\nssl_protocols {versions};"
        );
    }
    if fault != "own-status" {
        // Its own is 503.
        let _ = writeln!(text, "limit_req_status 429;");
    }
    // From its own answers nothing can be added to one status alone but by a page.
    let _ = writeln!(
        text,
        "error_page 429 @refused;\n\
         location @refused {{ add_header Retry-After 1 always; return 429; }}"
    );
    if fault == "underscores" {
        // Of its own it drops such fields.
        let _ = writeln!(text, "underscores_in_headers on;");
    }
    let is_for = |route: &&Route| route.hosts.iter().any(|host| Some(host.as_str()) == name);
    let mut own = file.route.iter().filter(is_for).peekable();
    if own.peek().is_some() {
        own.for_each(|route| text += &locations(file, route, fault));
    } else {
        let for_all = file.route.iter().filter(|route| route.hosts.is_empty());
        for_all.for_each(|route| text += &locations(file, route, fault));
    }
    text + "}\n"
}

/// What is remembered of clients: 1 MiB has room for 16,000.
///
/// # Panics
///
/// The file says of how many: nginx counts in bytes, by the page.
fn zone(name: &str, limit: &Limit, fault: &str) -> String {
    let key = match fault {
        "key-with-port" => "$binary_remote_addr$remote_port",
        _ => "$binary_remote_addr",
    };
    assert_eq!(limit.clients, None, "nginx counts in bytes");
    format!("limit_req_zone {key} zone={name}:1m rate={}r/s;\n", limit.requests)
}

/// Who has refused a connection is left alone for a minute: of its own nginx does not look
/// whether it is back. Where that is asked for, a request is the one that looks, after a
/// second.
fn upstream(pool: &Pool, fault: &str) -> String {
    let weight = |weight: &u16| fault != "no-weights" && *weight != 1;
    let members = pool.backend.iter().map(|one| {
        let weight =
            one.weight.filter(weight).map_or(String::new(), |one| format!(" weight={one}"));
        let pause = if pool.key().is_some() { 1 } else { 60 };
        // Or whoever comes later finds nobody to be sent to again, and is told 502.
        let fails = if fault == "next-after-timeout" { 0 } else { 1 };
        format!("server {}{weight} max_fails={fails} fail_timeout={pause}s;\n", one.address)
    });
    let balance = match (fault, pool.key().map(|key| key.replace('-', "_"))) {
        ("by-chance", _) => "random;\n".to_owned(),
        ("by-uri", Some(_)) => "hash $request_uri consistent;\n".to_owned(),
        ("not-consistent", Some(key)) => format!("hash $http_{key};\n"),
        (_, Some(key)) => format!("hash $http_{key} consistent;\n"),
        (_, None) => String::new(),
    };
    let members = members.collect::<String>();
    let keepalive = if fault == "no-keepalive" { "" } else { "keepalive 16;\n" };
    format!("upstream {} {{\n{balance}{members}{keepalive}}}\n", pool.name)
}

/// A prefix in whole segments is two locations.
fn locations(file: &File, route: &Route, fault: &str) -> String {
    let mut inside = format!(
        "proxy_pass http://{};\nproxy_http_version 1.1;\n\
         proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection $changes;\n\
         proxy_set_header Host $http_host;\nproxy_set_header X-Forwarded-Proto $proto;\n",
        route.pool
    );
    let pool = file.pool.iter().find(|pool| pool.name == route.pool);
    let read = pool.and_then(|pool| pool.timeouts.read.as_deref()).filter(|_| fault != "no-limit");
    if let Some(read) = read {
        let _ = writeln!(inside, "proxy_read_timeout {read};");
        // By itself it sends again what took too long, if that may be sent twice.
        if fault != "next-after-timeout" {
            let _ = writeln!(inside, "proxy_next_upstream error;");
        }
    }
    if fault == "next-after-timeout" {
        let _ = writeln!(inside, "proxy_next_upstream error timeout non_idempotent;");
    }
    inside += &door(file, route, fault);
    for name in &route.rate_limit {
        // A first request has room without a burst.
        let burst = file.rate_limit[name].burst() - 1;
        let _ = match fault {
            "no-nodelay" => writeln!(inside, "limit_req zone={name} burst={burst};"),
            "no-burst" => writeln!(inside, "limit_req zone={name};"),
            _ => writeln!(inside, "limit_req zone={name} burst={burst} nodelay;"),
        };
    }
    match &route.prefix {
        None => format!("location / {{\n{inside}}}\n"),
        Some(prefix) => {
            format!("location = {prefix} {{\n{inside}}}\nlocation {prefix}/ {{\n{inside}}}\n")
        }
    }
}

/// Who may, and how the backend is told. As it is given away it knows nothing of tokens.
fn door(file: &File, route: &Route, fault: &str) -> String {
    let mut inside = String::new();
    let own = route.auth.as_ref().map(|name| &file.auth[name]);
    let own_field = own.map(|own| own.user_header.as_str());
    let mut others: Vec<_> = file.auth.values().map(|auth| auth.user_header.as_str()).collect();
    others.sort_unstable();
    others.dedup();
    others.retain(|field| fault != "only-its-own-field" && Some(*field) != own_field);
    for field in others {
        let _ = writeln!(inside, "proxy_set_header {field} \"\";");
    }
    let Some(own) = own else { return inside };
    match &own.basic {
        Some(basic) => {
            let (users, field) = (&basic.file, &own.user_header);
            let _ = writeln!(
                inside,
                "auth_basic lab;\nauth_basic_user_file {users};\n\
                 proxy_set_header {field} $remote_user;"
            );
            if fault != "credential-goes-on" {
                let _ = writeln!(inside, "proxy_set_header Authorization \"\";");
            }
        }
        None => inside += "add_header WWW-Authenticate Bearer always;\nreturn 401;\n",
    }
    inside
}
