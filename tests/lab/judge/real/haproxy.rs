//! HAProxy, configured as the judge's file says, from stage 10 on. (For the stages before
//! there is `haproxy.sh`.)

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::file::{Auth, File, Jwt, Limit, Listener, Pool, Tls};

/// By how many limits HAProxy can count a request, as it is built.
const COUNTERS: usize = 3;

/// Its configuration. `fault` is `right`, or a mistake that people make with HAProxy.
///
/// # Panics
///
/// There is no such mistake, or the file asks for more than HAProxy can do.
pub fn configuration(file: &File, fault: &str, folder: &Path) -> String {
    let mistakes = [
        "right",
        "counts-refused",
        "own-status",
        "by-forwarded-for",
        "no-weights",
        "by-chance",
        "by-source",
        "map-based",
        "no-limit",
        "retries-timeouts",
        "reuse-safe",
        "one-certificate",
        "strict-sni",
        "no-alpn",
        "always-https",
        "drops-query",
        "alg-of-the-token",
        "no-exp",
        "only-its-own-field",
        "forbidden",
        "fast-stop",
        "no-hard-stop",
    ];
    assert!(mistakes.contains(&fault), "no such fault: {fault}");
    let hard_stop = match &file.shutdown {
        Some(shutdown) if fault != "no-hard-stop" => {
            format!("  hard-stop-after {}\n", shutdown.drain)
        }
        _ => String::new(),
    };
    let mut text = "global\n  maxconn 2000\n  nbthread 1\n  spread-checks 0\n".to_owned();
    text += &hard_stop;
    text +=
        "defaults\n  mode http\n  timeout connect 3s\n  timeout client 30s\n  timeout server 30s\n";
    text += &file.listener.iter().filter_map(|one| away(one, fault)).collect::<String>();
    let _ = writeln!(text, "frontend lab");
    for listener in file.listener.iter().filter(|one| one.redirect_to_https.is_none()) {
        let tls = listener.tls.as_ref().map_or(String::new(), |tls| bound(tls, fault, folder));
        let _ = writeln!(text, "  bind {}{tls}", listener.address);
    }
    let tls = if fault == "always-https" { "" } else { " if { ssl_fc }" };
    let _ = writeln!(
        text,
        "  http-request set-header X-Forwarded-Proto http\n  \
         http-request set-header X-Forwarded-Proto https{tls}"
    );
    // Those for hosts first; then the one with the longest prefix that fits.
    let mut routes: Vec<_> = file.route.iter().enumerate().collect();
    routes.sort_by_key(|(_, route)| std::cmp::Reverse(route.prefix.clone().unwrap_or_default()));
    routes.sort_by_key(|(_, route)| route.hosts.is_empty());
    for (number, route) in &routes {
        let prefix = route.prefix.as_deref().unwrap_or_default();
        let hosts = route.hosts.join(" ");
        let of_host = match route.hosts.is_empty() {
            true => String::new(),
            false => format!("{{ req.hdr(host),host_only,lower -m str {hosts} }} "),
        };
        let takes = format!(
            "  http-request set-var(txn.route) int({number}) if !{{ var(txn.route) -m found }} \
             {of_host}"
        );
        let _ = writeln!(text, "{takes}{{ path -m str {prefix}/ }}");
        let _ = writeln!(text, "{takes}{{ path -m beg {prefix}/ }}");
        if !prefix.is_empty() {
            let _ = writeln!(text, "{takes}{{ path -m str {prefix} }}");
        }
    }
    for (number, route) in &routes {
        assert!(route.rate_limit.len() <= COUNTERS, "{COUNTERS} limits at most");
        let this = format!("{{ var(txn.route) -m int {number} }}");
        let limits = || route.rate_limit.iter().enumerate();
        let key = if fault == "by-forwarded-for" { "hdr_ip(x-forwarded-for)" } else { "src" };
        for (counter, name) in limits() {
            let _ = writeln!(
                text,
                "  http-request track-sc{counter} {key} table limit_{name} if {this}"
            );
        }
        let count = limits().fold(String::new(), |all, (counter, _)| {
            format!("{all}  http-request sc-inc-gpc0({counter}) if {this}\n")
        });
        if fault == "counts-refused" {
            text += &count;
        }
        for (counter, name) in limits() {
            let limit = &file.rate_limit[name];
            let status = if fault == "own-status" { 503 } else { 429 };
            // What was counted is not refused again when it is counted first.
            let most = limit.burst() + u32::from(fault == "counts-refused");
            let _ = writeln!(
                text,
                "  http-request return status {status} content-type text/plain string refused \
                 hdr Retry-After 2 if {this} {{ sc_gpc0_rate({counter},limit_{name}) ge {most} }}"
            );
        }
        if fault != "counts-refused" {
            text += &count;
        }
        text += &door(file, route.auth.as_ref(), &this, fault);
        let _ = writeln!(text, "  use_backend {} if {this}", route.pool);
    }
    for (name, limit) in &file.rate_limit {
        text += &table(name, limit);
    }
    for (name, auth) in &file.auth {
        text += &users(name, auth);
    }
    text + &file.pool.iter().map(|pool| backend(pool, fault)).collect::<String>()
}

/// A listener that sends everybody away.
fn away(listener: &Listener, fault: &str) -> Option<String> {
    let port = listener.redirect_to_https?;
    let suffix = if port == 443 { String::new() } else { format!(":{port}") };
    let target = if fault == "drops-query" { "path" } else { "pathq" };
    Some(format!(
        "frontend away_{}\n  bind {}\n  http-request redirect code 308 location \
         https://%[req.hdr(host),host_only]{suffix}%[{target}]\n",
        listener.address.replace([':', '.'], "_"),
        listener.address
    ))
}

/// What stands behind the address of a listener with TLS. Certificates are in files with their
/// keys, which are in a list: the first of it is for everybody else.
fn bound(tls: &Tls, fault: &str, folder: &Path) -> String {
    let pairs = tls.certificates.iter().enumerate();
    let files = pairs.map(|(number, pair)| {
        let path = folder.join(format!("{number}.pem"));
        fs::write(&path, pair.joined()).expect("the certificate is written");
        format!("{}\n", path.display())
    });
    let count = if fault == "one-certificate" { 1 } else { usize::MAX };
    let list = folder.join("certificates");
    fs::write(&list, files.take(count).collect::<String>()).expect("the list is written");
    let alpn = if fault == "no-alpn" { "" } else { " alpn h2,http/1.1" };
    let strict = if fault == "strict-sni" { " strict-sni" } else { "" };
    format!(" ssl crt-list {}{alpn}{strict} ssl-min-ver TLSv1.2", list.display())
}

/// What is remembered of clients: how many of their requests were let through in the time in
/// which a burst comes in.
fn table(name: &str, limit: &Limit) -> String {
    let size = limit.clients.unwrap_or(100_000);
    let period = limit.burst() * 1000 / limit.requests;
    format!(
        "backend limit_{name}\n  stick-table type ip size {size} expire {}ms store \
         gpc0,gpc0_rate({period})\n",
        period * 3
    )
}

fn backend(pool: &Pool, fault: &str) -> String {
    let interval = &pool.health_check.interval;
    let members = pool.backend.iter().map(|backend| {
        let address = &backend.address;
        let weight = backend.weight.filter(|_| fault != "no-weights").unwrap_or(1);
        // On its ring it has 16 points for each unit, at places that go by the id, which
        // goes by the order of the servers unless it is said.
        let ring = pool.key().map_or(String::new(), |_| {
            let (_, port) = address.rsplit_once(':').expect("an address has a port");
            let id = if fault == "map-based" { String::new() } else { format!("id {port} ") };
            format!("{id}weight {} ", weight * 10)
        });
        let weight = if ring.is_empty() { format!("weight {weight} ") } else { ring };
        format!("  server {address} {address} {weight}check inter {interval} fall 1 rise 1\n")
    });
    let balance = match (fault, pool.key()) {
        ("by-chance", _) => "random(1)".to_owned(),
        ("by-source", Some(_)) => "source\n  hash-type consistent".to_owned(),
        ("map-based", Some(key)) => format!("hdr({key})\n  hash-type map-based"),
        (_, Some(key)) => format!("hdr({key})\n  hash-type consistent"),
        (_, None) => "roundrobin".to_owned(),
    };
    let members = members.collect::<String>();
    format!("backend {}\n  balance {balance}\n{}{members}", pool.name, waiting(pool, fault))
}

/// How long servers are waited for, and what becomes of their connections, where the file asks
/// for it. Of its own HAProxy keeps a client's first request from a connection that others have
/// used, since it would not send it again.
fn waiting(pool: &Pool, fault: &str) -> String {
    let Some(read) = &pool.timeouts.read else { return String::new() };
    let limit = if fault == "no-limit" { "30s" } else { read };
    let reuse = if fault == "reuse-safe" { "safe" } else { "always" };
    let again = match fault {
        "retries-timeouts" => "  retry-on conn-failure empty-response response-timeout\n",
        _ => {
            "  retry-on conn-failure empty-response\n  \
             http-request disable-l7-retry unless { method GET }\n"
        }
    };
    format!("  timeout server {limit}\n  http-reuse {reuse}\n{again}")
}

/// The users of a policy.
fn users(name: &str, auth: &Auth) -> String {
    let Some(basic) = &auth.basic else { return String::new() };
    let users = std::fs::read_to_string(&basic.file).expect("the file is there");
    let user = |line: &str| {
        let (user, hash) = line.split_once(':').expect("user:hash");
        format!("  user {user} password {hash}\n")
    };
    format!("userlist {name}\n{}", users.lines().map(user).collect::<String>())
}

/// Who may, and how the backend is told.
fn door(file: &File, name: Option<&String>, this: &str, fault: &str) -> String {
    let mut rules = String::new();
    let own = name.map(|name| (name, &file.auth[name]));
    let own_field = own.map(|(_, own)| own.user_header.as_str());
    let mut fields: Vec<_> = file.auth.values().map(|auth| auth.user_header.as_str()).collect();
    fields.retain(|field| fault != "only-its-own-field" || Some(*field) == own_field);
    for field in fields {
        let pattern = field.replace('-', "[-_]");
        let _ = writeln!(rules, "  http-request del-header ^{pattern}$ -m reg if {this}");
    }
    let Some((name, own)) = own else { return rules };
    let two = "{ req.fhdr_cnt(authorization) gt 1 }";
    let _ = writeln!(rules, "  http-request return status 400 if {this} {two}");
    let user = match &own.jwt {
        None if fault == "forbidden" => {
            let _ = writeln!(rules, "  http-request deny if {this} !{{ http_auth({name}) }}");
            "http_auth_user"
        }
        None => {
            let _ =
                writeln!(rules, "  http-request auth realm lab if {this} !{{ http_auth({name}) }}");
            "http_auth_user"
        }
        Some(jwt) => {
            rules += &token(jwt, this, fault);
            "var(txn.sub)"
        }
    };
    let field = &own.user_header;
    let _ = writeln!(
        rules,
        "  http-request set-header {field} %[{user}] if {this}\n  \
         http-request del-header authorization if {this}"
    );
    rules
}

/// What must be right of a token.
fn token(jwt: &Jwt, this: &str, fault: &str) -> String {
    let Jwt { algorithms, secret, public_key, issuer, audience, .. } = jwt;
    let (algorithm, issuer, audience) = (&algorithms[0], &issuer[0], &audience[0]);
    let key = secret.as_ref().or(public_key.as_ref()).expect("one of both");
    let leeway = jwt.leeway();
    let mut rules = String::new();
    let mut set = |name: &str, what: String| {
        let _ = writeln!(rules, "  http-request set-var(txn.{name}) {what} if {this}");
    };
    let claim = |claim: &str| format!("var(txn.token),jwt_payload_query('$.{claim}')");
    let number = |claim: &str| format!("var(txn.token),jwt_payload_query('$.{claim}','int')");
    set("token", "http_auth_bearer".to_owned());
    set("alg", "var(txn.token),jwt_header_query('$.alg')".to_owned());
    set("sub", claim("sub"));
    set("iss", claim("iss"));
    set("exp", number("exp"));
    set("nbf", number("nbf"));
    // A list cannot be asked for.
    set("claims", "var(txn.token),word(2,.),ub64dec".to_owned());
    let verified = match fault {
        "alg-of-the-token" => format!("var(txn.token),jwt_verify(txn.alg,\"{key}\")"),
        _ => format!("var(txn.token),jwt_verify({algorithm},\"{key}\")"),
    };
    let one = format!("\"aud\":(\"{audience}\"|\\[[^]]*\"{audience}\"[^]]*\\])");
    let mut wrong = vec![
        format!("!{{ {verified} -m int 1 }}"),
        "!{ var(txn.sub) -m found }".to_owned(),
        format!("!{{ var(txn.iss) -m str {issuer} }}"),
        format!("!{{ var(txn.claims) -m reg '{one}' }}"),
        format!("{{ var(txn.nbf) -m found }} {{ date({leeway}),sub(txn.nbf) -m int lt 0 }}"),
    ];
    if fault != "alg-of-the-token" {
        wrong.insert(0, format!("!{{ var(txn.alg) -m str {algorithm} }}"));
    }
    if fault != "no-exp" {
        wrong.push("!{ var(txn.exp) -m found }".to_owned());
        wrong.push(format!("{{ date(-{leeway}),sub(txn.exp) -m int ge 0 }}"));
    }
    for wrong in wrong {
        let _ = writeln!(
            rules,
            "  http-request return status 401 hdr WWW-Authenticate Bearer if {this} {wrong}"
        );
    }
    rules
}
