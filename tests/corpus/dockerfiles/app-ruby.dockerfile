FROM ruby:3.3-alpine
RUN apk add --no-cache build-base tzdata
WORKDIR /app
COPY Gemfile* ./
RUN bundle install --jobs "$(nproc)"
COPY . .
CMD bundle exec rails server -b 0.0.0.0
