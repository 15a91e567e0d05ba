#!/bin/sh
# nginx.sh STAGE FAULT FOLDER LISTEN BACKENDS: nginx, configured for a stage of the
# course, in the foreground, with its files in a new folder inside FOLDER. FAULT is
# `right`, or a mistake that people make with nginx in what the stage is about.
set -eu
stage=$1
fault=$2
folder=$(mktemp -d "$3/nginx.XXXXXX")
listen=$4
backends=$(printf %s "$5" | tr , ' ')
name=${LAB_PROXY_NAME:-pingora-lab}
api_backends=${LAB_API_BACKENDS:-127.0.0.1:6190}
static_backends=${LAB_STATIC_BACKENDS:-127.0.0.1:6191}
admin_backends=${LAB_ADMIN_BACKENDS:-127.0.0.1:6192}
admin_host=${LAB_ADMIN_HOST:-admin.test}
modules=${NGINX_MODULES:-/usr/lib/nginx/modules}

number=${stage%%-*}
[ "$number" != 01 ] || backends=${backends%% *}

load= balance= uri= answer= failed= inner= admin= below=/
request='proxy_set_header Host $http_host;'
# A refused connection costs this request a try, and no later one.
members() { for backend in $(printf %s "$1" | tr , ' '); do echo "server $backend max_fails=0;"; done; }
upstream=$(members "$backends")

if [ "$number" -ge 04 ]; then
  request="
      proxy_set_header Host \$http_host;
      proxy_set_header X-Proxy-Added $name;
      proxy_set_header X-Forwarded-By $name;
      proxy_set_header X-Forwarded-For \$remote_addr;"
fi
if [ "$number" = 04 ]; then
  # The address of the backend is not known yet when the request's fields are made
  # ($proxy_host is the name of the group), so each backend has a server of its own
  # in front, which says it.
  upstream=
  for backend in $backends; do
    socket=$folder/${backend##*:}.sock
    upstream="$upstream
    server unix:$socket max_fails=0;"
    inner="$inner
  upstream lab-${backend##*:} {
    server $backend;
    keepalive 16;
  }
  server {
    listen unix:$socket;
    location / {
      proxy_pass http://lab-${backend##*:};
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $backend;
    }
  }"
  done
fi
if [ "$number" -ge 05 ]; then
  # A field of this name in the backend's answer would stay beside the own one.
  answer="
    proxy_hide_header X-Proxy;
    proxy_hide_header X-Load-Balancer;
    add_header X-Proxy $name always;
    add_header X-Load-Balancer round-robin always;
    more_clear_headers Server;"
  # Of its own nginx cannot be without a Server field.
  load="load_module $modules/ngx_http_headers_more_filter_module.so;"
fi
if [ "$number" = 03 ] || [ "$number" -ge 06 ]; then
  # 502 is for a backend that was reached. Where none was, none took any time to
  # connect to.
  answer="$answer
    error_page 502 = @failed;"
  failed='
    location @failed {
      default_type text/plain;
      if ($upstream_connect_time !~ "[0-9]") { return 503 "no backend can be reached\n"; }
      return 502 "the backend failed\n";
    }'
fi

case $fault in
  right) ;;
  # With a path, even this one, nginx asks for the decoded and tidied path.
  path-in-proxy-pass) uri=/ ;;
  by-uri) balance='hash $request_uri;' ;;
  client-host) inner=$(printf %s "$inner" | sed 's/Host .*;/Host $http_host;/') ;;
  appends-forwarded-for)
    request=$(printf %s "$request" | sed 's/\$remote_addr/$proxy_add_x_forwarded_for/') ;;
  adds-beside) answer=$(printf %s "$answer" | grep -v proxy_hide_header) ;;
  own-server) answer=$(printf %s "$answer" | grep -v more_clear_headers) ;;
  not-always) answer=$(printf %s "$answer" | sed 's/ always;/;/') ;;
  no-next) answer="$answer
    proxy_next_upstream off;" ;;
  non-idempotent) answer="$answer
    proxy_next_upstream error timeout non_idempotent;" ;;
  # The location is a prefix of letters then.
  no-slash) below= ;;
  *) echo "no such fault: $fault" >&2; exit 2 ;;
esac

# pool NAME BACKENDS
pool() { printf 'upstream %s {\n%s\nkeepalive 16;\n}\n' "$1" "$(members "$2")"; }

# location WHICH POOL
location() {
  echo "location $1 {
      proxy_pass http://$2$uri;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      $request
    }"
}

routes=$(location / lab)
if [ "$number" -ge 07 ]; then
  inner="$(pool api "$api_backends")
  $(pool static "$static_backends")
  $(pool admin "$admin_backends")"
  # Of what begins as a location with a slash at its end nginx would redirect the one
  # without the slash.
  routes="$routes
    $([ -z "$below" ] || location '= /api' api)
    $(location "/api$below" api)
    $(location '= /static' static)
    $(location /static/ static)"
  admin="server {
    listen $listen;
    server_name $admin_host;
    $answer
    $(location / admin)
    $failed
  }"
fi

cat >"$folder/nginx.conf" <<CONF
daemon off;
master_process off;
worker_processes 1;
pid $folder/pid;
error_log stderr error;
$load
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path $folder/body;
  proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi;
  scgi_temp_path $folder/scgi;
  client_max_body_size 0;
  underscores_in_headers on;
  upstream lab {
    $balance
    $upstream
    keepalive 16;
  }
  $inner
  server {
    listen $listen;
    $answer
    $routes
    $failed
  }
  $admin
}
CONF
exec nginx -e stderr -c "$folder/nginx.conf"
