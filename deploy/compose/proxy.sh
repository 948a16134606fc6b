# The door to the web UI: deploy/reverse-proxy/trajgen.conf with this deployment's name and port, which browsers send
# as part of Origin. Certificate, logins and operators are read from $TRAJGEN_WEB.
set -eu
: "${TRAJGEN_WEB:?the folder of certificate and logins}" "${TRAJGEN_NAME:?}" "${TRAJGEN_PORT:?}"

sed -e "s/ 443 ssl/ $TRAJGEN_PORT ssl/" -e "s/trajgen\.example/$TRAJGEN_NAME/" \
    -e "s#trajgen\.\(crt\|key\|htpasswd\|operators\);#$TRAJGEN_WEB/trajgen.\1;#" \
    /usr/local/share/trajgen/trajgen.conf > /tmp/trajgen.conf
exec nginx -c /usr/local/share/trajgen/nginx.conf
