"""What is kept: the database, the pictures, projects, data set versions, jobs and runs."""
