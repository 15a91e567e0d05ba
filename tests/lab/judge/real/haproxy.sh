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
backends=$(printf %s "$5" | tr , ' ')
name=${LAB_PROXY_NAME:-pingora-lab}
interval=${LAB_HEALTH_INTERVAL_MS:-1000}

number=${stage%%-*}
[ "$number" != 01 ] || backends=${backends%% *}

# A try at the same server would wait for a second first.
balance=roundrobin tries='retries 0' errors= checks= check= request= answer=
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
  # With several servers left the next try is at another one, at once; twenty are
  # enough however the turns of other requests come between.
  tries='retries 20
  retry-on conn-failure
  option redispatch 1'
fi
if [ "$number" -ge 04 ]; then
  request="http-request set-header X-Proxy-Added $name
  http-request set-header X-Forwarded-By $name
  http-request set-header X-Forwarded-For %[src]
  http-send-name-header Host"
fi
if [ "$number" -ge 05 ]; then
  answer="http-after-response set-header X-Proxy $name
  http-after-response set-header X-Load-Balancer round-robin
  http-after-response del-header Server"
fi

case $fault in
  right) ;;
  own-503) errors= ;;
  by-source) balance=source ;;
  no-checks) check= ;;
  own-interval) check='check inter 1s fall 1 rise 1' ;;
  client-host) request=$(printf %s "$request" | grep -v http-send-name-header) ;;
  appends-forwarded-for)
    request=$(printf %s "$request" | sed 's/http-request set-header X-Forwarded-For.*/option forwardfor/') ;;
  # http-response is for what comes from a server, and not for HAProxy's own pages.
  not-after) answer=$(printf %s "$answer" | sed 's/http-after-response/http-response/') ;;
  no-next) tries='retries 0' ;;
  retries-all) tries='retries 20
  retry-on all-retryable-errors
  option redispatch 1' ;;
  *) echo "no such fault: $fault" >&2; exit 2 ;;
esac

cat >"$folder/haproxy.cfg" <<CONF
global
  maxconn 2000
  nbthread 1
  spread-checks 0
defaults
  mode http
  timeout connect 3s
  timeout client 30s
  timeout server 30s
  timeout check 2s
  option abortonclose
listen lab
  bind $listen
  balance $balance
  $tries
  $errors
  $checks
  $request
  $answer
$(for backend in $backends; do echo "  server $backend $backend $check"; done)
CONF
exec haproxy -db -q -f "$folder/haproxy.cfg"
