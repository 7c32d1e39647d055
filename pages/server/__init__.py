"""The web server around the pages: routes, headers, front-end files, private parts of Streamlit."""
