FROM php:8.3-apache
RUN docker-php-ext-install pdo_mysql \
 && a2enmod rewrite
COPY --chown=www-data:www-data . /var/www/html/
VOLUME /var/www/html/uploads
HEALTHCHECK --interval=30s --timeout=3s CMD curl -f http://localhost/ || exit 1
