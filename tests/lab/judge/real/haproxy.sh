#!/bin/sh
# haproxy.sh STAGE FAULT FOLDER LISTEN BACKENDS: HAProxy, configured for a stage of
# the course, in the foreground, with its files in a new folder inside FOLDER.
# FAULT is `right`, or a mistake that people make with HAProxy in what the stage is
# about.
set -eu
stage=$1
fault=$2
folder=$(mktemp -d "$3/haproxy.XXXXXX")
listen=$4
backends=$5
name=${LAB_PROXY_NAME:-pingora-lab}
api_backends=${LAB_API_BACKENDS:-127.0.0.1:6190}
static_backends=${LAB_STATIC_BACKENDS:-127.0.0.1:6191}
admin_backends=${LAB_ADMIN_BACKENDS:-127.0.0.1:6192}
admin_host=${LAB_ADMIN_HOST:-admin.test}
interval=${LAB_HEALTH_INTERVAL_MS:-1000}

number=${stage%%-*}
[ "$number" != 01 ] || backends=${backends%%,*}

# With several servers left the next try is at another one, at once; twenty are enough
# however the turns of other requests come between. With one left, or none, HAProxy
# pauses before the next try: for a second, or for the time that it has to connect where
# that is less. A second is all that the checks allow for an answer.
again='retries 20
  retry-on conn-failure
  option redispatch 1
  timeout connect 100ms'
balance=roundrobin tries='retries 0' errors= checks= check= request= named= answer=
experimental= routes=
if [ "$number" = 01 ]; then
  # For a refused connection HAProxy says 503, where the stage asks for 502.
  printf 'HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n' >"$folder/502.http"
  errors="errorfile 503 $folder/502.http"
fi
if [ "$number" -ge 03 ]; then
  # A plain check is ended by a reset before the connection stands for the backend,
  # which then sees nothing of it.
  checks='option tcp-check
  tcp-check connect linger'
  check="check inter $interval fall 1 rise 1"
  tries=$again
fi
if [ "$number" -ge 04 ]; then
  request="http-request set-header X-Proxy-Added $name
  http-request set-header X-Forwarded-By $name
  http-request set-header X-Forwarded-For %[src]"
  named='http-send-name-header Host'
fi
if [ "$number" -ge 05 ]; then
  answer="http-after-response set-header X-Proxy $name
  http-after-response set-header X-Load-Balancer round-robin
  http-after-response del-header Server"
fi
api='{ var(txn.path) -m str /api } || { var(txn.path) -m beg /api/ }'
static='{ var(txn.path) -m str /static } || { var(txn.path) -m beg /static/ }'
# What is decided on is the path as its reader will understand it; what is sent on is
# the client's own.
normal='http-request normalize-uri percent-decode-unreserved
  http-request normalize-uri path-strip-dot
  http-request normalize-uri path-strip-dotdot full'
# A server that was tried and did not answer is none that is named here.
escaped=',json(utf8s)'
stream='log stdout format raw local0 info'

case $fault in
  right) ;;
  own-503) errors= ;;
  by-source) balance=source ;;
  no-checks) check= ;;
  own-interval) check='check inter 1s fall 1 rise 1' ;;
  client-host) named= ;;
  appends-forwarded-for)
    request=$(printf %s "$request" | sed 's/http-request set-header X-Forwarded-For.*/option forwardfor/') ;;
  # http-response is for what comes from a server, and not for HAProxy's own pages.
  not-after) answer=$(printf %s "$answer" | sed 's/http-after-response/http-response/') ;;
  no-next) tries='retries 0' ;;
  retries-all) tries=$(printf %s "$again" | sed 's/conn-failure/all-retryable-errors/') ;;
  path-beg) api='{ var(txn.path) -m beg /api }' ;;
  raw-path) normal= ;;
  no-escape) escaped= ;;
  *) echo "no such fault: $fault" >&2; exit 2 ;;
esac

if [ "$number" -ge 07 ]; then
  experimental=expose-experimental-directives
  routes="http-request set-var(txn.sent) pathq
  $normal
  http-request set-var(txn.path) path
  http-request set-pathq %[var(txn.sent)]
  use_backend admin if { req.hdr(host),host_only,lower -m str $admin_host }
  use_backend api if $api
  use_backend static if $static"
fi

log=
if [ "$number" -ge 08 ]; then
  log="$stream
  log-format '{\"method\":\"%HM\",\"path\":\"%[var(txn.sent)$escaped]\",\"status\":%ST,\"backend\":%[var(txn.backend)],\"duration_ms\":%Ta,\"request_id\":\"%ID\"}'
  unique-id-format %[uuid]
  unique-id-header X-Request-Id
  http-request del-header X-Request-Id
  http-request set-var(txn.backend) str(null)
  http-response set-var-fmt(txn.backend) '\"%[srv_name]\"'"
fi

# pool NAME BACKENDS
pool() {
  echo "backend $1
  balance $balance
  $tries
  $errors
  $checks
  $named"
  for backend in $(printf %s "$2" | tr , ' '); do echo "  server $backend $backend $check"; done
}

cat >"$folder/haproxy.cfg" <<CONF
global
  maxconn 2000
  nbthread 1
  spread-checks 0
  $experimental
defaults
  mode http
  timeout connect 3s
  timeout client 30s
  timeout server 30s
  timeout check 2s
  option abortonclose
frontend lab
  bind $listen
  $log
  $errors
  $request
  $answer
  $routes
  default_backend rest
$(pool rest "$backends")
$([ "$number" -lt 07 ] || pool api "$api_backends")
$([ "$number" -lt 07 ] || pool static "$static_backends")
$([ "$number" -lt 07 ] || pool admin "$admin_backends")
CONF
# Not quiet (-q): that would close its standard output, which has the log, and hide why it
# does not start.
exec haproxy -db -f "$folder/haproxy.cfg"
